package container

import (
	"errors"
	"os"
	"syscall"

	"ch-run/internal/bind"
	"ch-run/internal/cli"
	"ch-run/internal/early"
	"ch-run/internal/image"
	"ch-run/internal/kernel"
	"ch-run/internal/message"
	"ch-run/internal/squash/fuse"
)

// NeedsServer says whether the options are those of a launch with an image that has to be served. It
// looks no closer than the constructor of package early: what is not needed after all goes away.
func NeedsServer(o *cli.Options) bool {
	st, err := kernel.StatPath(kernel.CWD, o.Image)
	return err == nil && st.IsRegular()
}

// planSquashFS plans what is different for a SquashFS image. It is mounted out of everybody's sight, on the
// scratch tmpfs. The mount point that the user chooses, or the default one, is what messages call it.
func (p *Plan) planSquashFS(o *cli.Options, user string, log *message.Log) error {
	if o.Write {
		return message.Errorf("--write invalid with SquashFS image: %s", o.Image).
			Hint("--write-fake lets the container write, without changing the image")
	}
	if o.Mount == nil {
		p.Root = "/var/tmp/" + user + ".ch/mnt"
		log.Verbose("using default mount point: %s", p.Root)
		if err := kernel.MkdirAll(p.Root); err != nil {
			log.Debug("can't mkdir: %s: %s", p.Root, message.Reason(err)) // nor is it needed
		}
		return nil
	}
	p.Root = *o.Mount
	if p.Root == "" {
		return message.Errorf("mount point can't be empty string")
	}
	st, err := kernel.StatPath(kernel.CWD, p.Root)
	switch {
	case err != nil:
		return message.Wrap(err, "can't stat mount point: %s", p.Root)
	case !st.IsDir():
		return message.Errorf("not a directory: %s", p.Root)
	}
	return nil
}

// attachSquashFS mounts the image through FUSE, and has the server process serve it. Nothing may look at the
// mount before the server has its order: it would wait for an answer, and the server for the order.
func (p *Plan) attachSquashFS(scratch kernel.FD, log *message.Log) (*bind.Tree, error) {
	server, err := early.ServerSocket()
	if err != nil {
		return nil, noServer(err)
	}
	if server < 0 {
		return nil, message.Errorf("can't start SquashFS server: %s: the file was changed meanwhile", p.Image.Path)
	}
	file, err := kernel.OpenForReading(p.Image.Handle)
	if err != nil {
		return nil, message.Wrap(err, "can't open: %s", p.Image.Path)
	}
	device, err := kernel.OpenFuse()
	if err != nil {
		return nil, noFuse(err, p.Image.Path)
	}
	mount := func(dst kernel.FD) error { return kernel.MountFuse(device, dst, p.UID, p.GID) }
	tree, err := bind.Attach(mount, scratch, p.Root, p.Writing)
	if err != nil {
		e := message.Wrap(err, "can't mount SquashFS: %s", p.Image.Path)
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.EINVAL) {
			e = e.Hint("%s", kernel.Fuse.Requirement())
		}
		return nil, e
	}
	self, err := kernel.OpenProcess(os.Getpid())
	if err != nil {
		self = -1 // an old kernel: the command unmounts
	}
	order := fuse.Order{
		Image: file, Device: device, Mount: tree.Root(), Command: self,
		UID: p.UID, GID: p.GID, Path: p.Image.Path,
	}
	err = order.Give(kernel.FD(server))
	var none fuse.ServerError
	switch {
	case errors.As(err, &none):
		return nil, noServer(err)
	case err != nil:
		return nil, message.Wrap(err, "can't open SquashFS: %s", p.Image.Path)
	}
	p.server = kernel.FD(server)
	kernel.Prime(tree.Root())
	log.Debug("serving SquashFS: %s", p.Image.Path)
	return tree, nil
}

// awaitServer comes before anything that the command does, if there is a server.
func (p *Plan) awaitServer() error {
	if p.server < 0 {
		return nil
	}
	err := fuse.AwaitReady(p.server)
	p.server = -1
	if err != nil {
		return noServer(err)
	}
	return nil
}

// explain says why the container could not be made: whatever it was for that err happened, the reason may be that there
// was no server any more, or the image.
func (p *Plan) explain(err error) error {
	if why := p.awaitServer(); why != nil {
		return why
	}
	var e *message.Error
	if p.Image.Kind == image.SquashFS && errors.Is(err, syscall.EIO) && errors.As(err, &e) {
		return e.Hint("the image is damaged, or the storage that it is on; syslog says where: %s", p.Image.Path)
	}
	return err
}

func noServer(err error) error {
	return message.Wrap(err, "can't start SquashFS server").
		Hint("it is a process of 14 threads to begin with; raise the limit of processes or memory, ulimit or that of the cgroup")
}

// noFuse explains why there is no /dev/fuse for us.
func noFuse(err error, path string) error {
	const directory = "or unpack the image, 'unsquashfs -d DIR %s', and run the directory"
	e := message.Wrap(err, "can't open: /dev/fuse")
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENXIO), errors.Is(err, syscall.ENODEV):
		return e.Hint("SquashFS images need FUSE; the administrator can load it, 'modprobe fuse', "+directory, path)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return e.Hint("SquashFS images need FUSE; the administrator can permit it, 'chmod 666 /dev/fuse' or with udev, "+directory, path)
	}
	return e.Hint("SquashFS images need FUSE; "+directory, path)
}
