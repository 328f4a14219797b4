package container

import (
	"ch-run/internal/early"
	"ch-run/internal/kernel"
	"ch-run/internal/message"
)

// features says what this version has whatever the kernel.
var features = map[string]bool{
	"extglob": true,
	"cdi":     true,
}

// kernelFeatures are those that --feature offers and the kernel decides.
var kernelFeatures = []kernel.Feature{kernel.Fuse, kernel.Overlayfs, kernel.TmpfsXattrs}

// NeedsNamespaces says whether the feature can be found out about only in a container's namespaces.
func NeedsNamespaces(name string) bool {
	for _, f := range kernelFeatures {
		if f.Name == name {
			return true
		}
	}
	return false
}

// HasFeature says whether the feature is available to the caller on this host.
//
// Preconditions: where NeedsNamespaces, the process is in the namespaces that package early made.
func HasFeature(name string, caller early.Caller, log *message.Log) (bool, error) {
	if has, known := features[name]; known {
		return has, nil
	}
	switch name {
	case kernel.JoinHandles.Name:
		return check(kernel.JoinHandles, -1, log), nil
	case kernel.Seccomp.Name:
		return check(kernel.Seccomp, -1, log), nil
	}
	for _, f := range kernelFeatures {
		if f.Name != name {
			continue
		}
		if err := enterNamespaces(caller, caller.EUID, caller.EGID, log); err != nil {
			log.Verbose("%s: not available: %v", name, err)
			return false, nil
		}
		scratch, err := newScratch(caller)
		if err != nil {
			return false, err
		}
		return check(f, scratch.Directory, log), nil
	}
	return false, message.Errorf("unknown feature: %s", name)
}

func check(f kernel.Feature, scratch kernel.FD, log *message.Log) bool {
	err := f.Check(scratch)
	if err != nil {
		log.Verbose("%s: not available (%s): %s", f.Name, f.Requirement(), message.Reason(err))
	}
	return err == nil
}
