package bind

import (
	"errors"
	"strings"
	"syscall"

	"ch-run/internal/kernel"
	"ch-run/internal/message"
)

// Open opens the sources of mounts: what is looked at now is what will be mounted. A mount of which the source is
// optional and cannot be opened is left out. So is one of which it is not optional, if failed says so: it gets the
// error, and returns the one to give up with, or nil. Without failed, it is the error that Open returns.
func Open(mounts []Mount, failed func(Mount, *message.Error) error) ([]OpenMount, error) {
	opened := make([]OpenMount, 0, len(mounts))
	var sources sources
	defer sources.close()
	for _, m := range mounts {
		o := OpenMount{Mount: m, handle: -1}
		if m.Kind == Host {
			err := o.open(&sources)
			switch {
			case err == nil:
			case m.Need.is(SourceOptional):
				continue
			case failed == nil:
				return nil, noSource(m, err)
			default:
				if err := failed(m, noSource(m, err)); err != nil {
					return nil, err
				}
				continue
			}
		}
		opened = append(opened, o)
	}
	return opened, nil
}

func noSource(m Mount, err error) *message.Error {
	if !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ENOTDIR) {
		return message.Wrap(err, "can't bind: can't open source: %s", m.Source)
	}
	e := message.Errorf("can't bind: source not found: %s", m.Source)
	if m.Hint != "" {
		e = e.Hint("%s", m.Hint)
	}
	return e
}

// An OpenMount is a mount whose source is open.
type OpenMount struct {
	Mount
	handle   kernel.FD // -1 if there is none
	file     string    // of what is to be merged, the path of the source without symbolic links
	regular  bool      // of what is to be merged: it is a regular file
	readable bool      // and is known to be readable
	size     int64     // then its length, in bytes
	resolved string    // where the mount point was made; "" if it was there
}

// open opens the source. Of a file that is to be merged it may be no more than found; a directory is mounted as it is.
func (m *OpenMount) open(sources *sources) (err error) {
	if m.Merge && sources.find(m) {
		return nil
	}
	m.handle, err = kernel.Handle(kernel.CWD, m.Source)
	if err != nil || !m.Merge {
		return err
	}
	st, err := m.handle.Stat()
	if err != nil || st.IsDir() {
		return err
	}
	name, err := m.handle.Name()
	if err != nil || !strings.HasPrefix(name, "/") { // a pipe has no path
		return err
	}
	m.file, m.regular = name, st.IsRegular()
	m.close()
	return nil
}

func (m *OpenMount) close() {
	if m.handle >= 0 {
		m.handle.Close()
		m.handle = -1
	}
}

// point returns the path at which the mount point is to be found.
func (m OpenMount) point() string {
	if m.resolved != "" {
		return m.resolved
	}
	return m.Destination
}

func (m OpenMount) String() string {
	from := map[Kind]string{Host: m.Source, Content: "(generated)", Tmpfs: "(tmpfs)"}[m.Kind]
	if m.ReadOnly {
		return from + " at " + m.Destination + " (ro)"
	}
	return from + " at " + m.Destination
}

// directory says whether the mount point has to be a directory.
func (m OpenMount) directory() (bool, error) {
	if m.Kind != Host {
		return m.Kind == Tmpfs, nil
	}
	st, err := m.handle.Stat()
	return st.IsDir(), err
}
