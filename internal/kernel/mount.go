package kernel

import (
	"errors"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Bind attaches the tree at src, with everything mounted in it, on top of dst (mount(2),
// MS_BIND|MS_REC). Not recursive it would uncover what lies below those mounts, which the kernel
// refuses in a user namespace (EINVAL).
func Bind(src, dst FD) error {
	return unix.Mount(src.Path(), dst.Path(), "", unix.MS_BIND|unix.MS_REC, "")
}

// Move takes the mount at src, with everything mounted in it, from where it is and puts it on top of dst.
func Move(src, dst FD) error {
	return unix.Mount(src.Path(), dst.Path(), "", unix.MS_MOVE, "")
}

// BindReadOnly is [Bind] with all mounts of the new tree read-only, before anybody can see it
// (mount_setattr(2); Linux 5.12).
func BindReadOnly(src, dst FD) error {
	tree, err := unix.OpenTree(int(src), "",
		unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_RECURSIVE)
	if err != nil {
		return err
	}
	defer FD(tree).Close()
	if err := setReadOnly(FD(tree)); err != nil {
		return err
	}
	return attach(FD(tree), dst)
}

// MakeReadOnly makes the mount at root, and those in it, read-only. Where the kernel lacks
// mount_setattr(2) it is the one mount only, and the flags that it has are asked for again, as
// those that a more privileged mount namespace has set are locked (mount_namespaces(7)).
func MakeReadOnly(root FD) error {
	err := setReadOnly(root)
	if !errors.Is(err, unix.ENOSYS) {
		return err
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(root), &st); err != nil {
		return err
	}
	if st.Flags&unix.ST_RDONLY != 0 {
		return nil
	}
	flags := unix.MS_REMOUNT | unix.MS_BIND | unix.MS_RDONLY | mountFlags(int64(st.Flags))
	return unix.Mount("", root.Path(), "", flags, "")
}

func setReadOnly(tree FD) error {
	return unix.MountSetattr(int(tree), "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE,
		&unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
}

// flagNames are the per-mount flags as statfs(2) reports them, as mount(2) takes them, and as
// fsmount(2) does.
var flagNames = []struct {
	statfs int64
	mount  uintptr
	attr   int
	name   string
}{
	{unix.ST_RDONLY, unix.MS_RDONLY, unix.MOUNT_ATTR_RDONLY, "ro"},
	{unix.ST_NOSUID, unix.MS_NOSUID, unix.MOUNT_ATTR_NOSUID, "nosuid"},
	{unix.ST_NODEV, unix.MS_NODEV, unix.MOUNT_ATTR_NODEV, "nodev"},
	{unix.ST_NOEXEC, unix.MS_NOEXEC, unix.MOUNT_ATTR_NOEXEC, "noexec"},
	{unix.ST_NOATIME, unix.MS_NOATIME, unix.MOUNT_ATTR_NOATIME, "noatime"},
	{unix.ST_NODIRATIME, unix.MS_NODIRATIME, unix.MOUNT_ATTR_NODIRATIME, "nodiratime"},
	{unix.ST_RELATIME, unix.MS_RELATIME, 0, "relatime"},
}

func mountFlags(statfs int64) (flags uintptr) {
	for _, f := range flagNames {
		if statfs&f.statfs != 0 {
			flags |= f.mount
		}
	}
	return flags
}

// MountFlags names the flags of the mount that fd is on, as in mount(8).
func MountFlags(fd FD) string {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(fd), &st); err != nil {
		return "unknown"
	}
	var names []string
	for _, f := range flagNames {
		if int64(st.Flags)&f.statfs != 0 {
			names = append(names, f.name)
		}
	}
	return strings.Join(names, ",")
}

// MountsBelow returns the paths, from root on, at which something is mounted in the tree of root, or nil if
// that cannot be found out.
func MountsBelow(root FD) (below []string) {
	name, err := root.Name()
	if err != nil {
		return nil
	}
	text, err := ReadFile(CWD, "/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], name+"/") {
			below = append(below, strings.TrimPrefix(fields[4], name))
		}
	}
	return below
}

// Tmpfs mounts a new tmpfs at dst, nosuid and nodev. options are as in tmpfs(5).
func Tmpfs(dst FD, options string) error {
	return unix.Mount("tmpfs", dst.Path(), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options)
}

// Scratch is room for a container's mounts while they are made.
type Scratch struct {
	Directory FD // an empty directory on a tmpfs
	top       FD // the mount that hides it
}

// NewScratch mounts the scratch tmpfs on top of the root directory. Nothing is hidden by it, since a
// lookup that starts at "/" starts below what is mounted there; only ".." at the root steps onto it
// (path_resolution(7)). Nor does it appear in a recursive bind mount of the root directory:
// the outer one of two tmpfs is unbindable (mount_namespaces(7)); the inner one is not, so that what is
// in it can be bound.
func NewScratch() (s Scratch, err error) {
	if err := unix.Mount("tmpfs", "/", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return s, err
	}
	if s.top, err = DirectoryHandle(CWD, "/.."); err != nil {
		return s, err
	}
	if err := unix.Mount("", s.top.Path(), "", unix.MS_UNBINDABLE, ""); err != nil {
		return s, err
	}
	if err := Mkdir(s.top, "scratch", 0o755); err != nil {
		return s, err
	}
	directory, err := DirectoryHandle(s.top, "scratch")
	if err != nil {
		return s, err
	}
	defer directory.Close()
	if err := Tmpfs(directory, "mode=755"); err != nil {
		return s, err
	}
	s.Directory, err = DirectoryHandle(s.top, "scratch")
	return s, err
}

// An Overlay is what overlayfs merges: Lower, the topmost first, and Upper unless that is nil.
type Overlay struct {
	Lower []FD
	Upper *UpperDirectory
	// Like is a file on the mount whose restrictions (nosuid, nodev, noexec) the new one takes over.
	Like FD
}

// An UpperDirectory receives the changes to an overlay. Both are on one file system.
type UpperDirectory struct{ Upper, Work FD }

// Mount mounts the overlay on top of dst; without an upper directory it is read-only. Needs Linux 5.11
// in a user namespace. The error carries the file system's own words where it has some.
func (o Overlay) Mount(dst FD) error {
	lower := make([]string, len(o.Lower))
	for i, fd := range o.Lower {
		lower[i] = fd.Path()
	}
	settings := [][2]string{{"source", "ch-run"}, {"lowerdir", strings.Join(lower, ":")}}
	attributes := 0
	if o.Upper != nil {
		settings = append(settings, [2]string{"upperdir", o.Upper.Upper.Path()}, [2]string{"workdir", o.Upper.Work.Path()})
	} else {
		attributes = unix.MOUNT_ATTR_RDONLY
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(o.Like), &st); err != nil {
		return err
	}
	for _, f := range flagNames {
		if f.name != "ro" && int64(st.Flags)&f.statfs != 0 {
			attributes |= f.attr
		}
	}

	context, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return err
	}
	defer FD(context).Close()
	for _, s := range settings {
		if err := unix.FsconfigSetString(context, s[0], s[1]); err != nil {
			return explained(context, err)
		}
	}
	// Whiteouts and the like as user.* attributes: trusted.* are not for user namespaces.
	if err := unix.FsconfigSetFlag(context, "userxattr"); err != nil {
		return explained(context, err)
	}
	if o.Upper != nil {
		// Nothing in memory needs syncing (Linux 5.10).
		if err := unix.FsconfigSetFlag(context, "volatile"); err != nil {
			return explained(context, err)
		}
	}
	if err := unix.FsconfigCreate(context); err != nil {
		return explained(context, err)
	}
	mount, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, attributes)
	if err != nil {
		return explained(context, err)
	}
	defer FD(mount).Close()
	return attach(FD(mount), dst)
}

// attach puts a detached mount on top of dst (move_mount(2); Linux 5.2).
func attach(mount, dst FD) error {
	return unix.MoveMount(int(mount), "", int(dst), "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// An ExplainedError is the error of a system call for which the kernel left a text.
type ExplainedError struct {
	Err  syscall.Errno
	Text string
}

func (e *ExplainedError) Error() string { return e.Text }
func (e *ExplainedError) Unwrap() error { return e.Err }

// explained adds to err what the file system context's log holds, one message a read.
func explained(context int, err error) error {
	var texts []string
	buffer := make([]byte, 1024)
	for len(texts) < 16 {
		n, readErr := unix.Read(context, buffer)
		if readErr != nil || n <= 2 {
			break
		}
		texts = append(texts, strings.TrimSpace(string(buffer[2:n]))) // after "e ", "w " or "i "
	}
	var errno unix.Errno
	if len(texts) == 0 || !errors.As(err, &errno) {
		return err
	}
	return &ExplainedError{errno, strings.Join(texts, "; ")}
}

// Pivot makes root, a mount in the scratch directory, the root directory of the process, and the only
// tree in its mount namespace.
func (s Scratch) Pivot(root FD) error {
	if err := unix.Fchdir(int(root)); err != nil {
		return err
	}
	// The working directory is both the new root and where the old one is put, that is, on top
	// of it (pivot_root(2), NOTES). A lookup of "." for unmounting goes to the top of the stack:
	// first the scratch tmpfs, then the old root.
	stacked := 2
	err := unix.PivotRoot(".", ".")
	if errors.Is(err, unix.EINVAL) {
		// The root is the initial rootfs, which has no parent and so cannot be pivoted away. The
		// scratch tmpfs on it can.
		if err := unix.Fchdir(int(s.top)); err != nil {
			return err
		}
		if err := unix.Chroot("."); err != nil {
			return err
		}
		if err := unix.Fchdir(int(root)); err != nil {
			return err
		}
		stacked = 1
		err = unix.PivotRoot(".", ".")
	}
	if err != nil {
		return err
	}
	for range stacked {
		if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
			return err
		}
	}
	return unix.Chdir("/")
}
