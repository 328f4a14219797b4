package container

import (
	"errors"
	"os"
	"strings"
	"syscall"

	"ch-run/internal/bind"
	"ch-run/internal/early"
	"ch-run/internal/environ"
	"ch-run/internal/image"
	"ch-run/internal/kernel"
	"ch-run/internal/message"
	"ch-run/internal/seccomp"
)

// Run makes the container and becomes the command. It returns only if that fails.
//
// Preconditions: the process is in the namespaces that package early made, and the calling goroutine is
// locked to the main thread.
func (p *Plan) Run(caller early.Caller, log *message.Log) error {
	if err := enterNamespaces(caller, p.UID, p.GID, log); err != nil {
		return err
	}
	kernel.Umask(0) // modes are what this program says; package early restores the caller's
	// Before the scratch tmpfs, which a relative path that climbs above the root would lead to.
	mounts, err := bind.Open(p.Mounts, nil)
	if err != nil {
		return err
	}
	if p.Devices != nil {
		if err := p.Devices.inject(&p.hooks, p.Binds, log); err != nil {
			return err
		}
	}
	binds, err := bind.Open(p.Binds, nil)
	if err != nil {
		return err
	}
	scratch, err := newScratch(caller)
	if err != nil {
		return err
	}
	root, err := p.assemble(mounts, binds, scratch.Directory, log)
	if err != nil {
		return p.explain(err)
	}
	quiet, err := openNull(log)
	if err != nil {
		return err
	}
	handles := p.namespaceHandles(log)
	log.Debug("pivoting into container")
	if err := scratch.Pivot(root); err != nil {
		return p.explain(message.Wrap(err, "can't pivot_root(2)"))
	}
	if err := p.hooks.guest.run(&stage{root: root, log: log}); err != nil {
		return p.explain(err)
	}
	if err := p.awaitServer(); err != nil {
		return err
	}
	p.publish(handles, log)
	return p.start(root, quiet, log)
}

// start becomes the command, in the container with that root directory. The others' container is not to end with this
// process, so they get time to come in before anything can go wrong.
func (p *Plan) start(root, quiet kernel.FD, log *message.Log) error {
	p.settle(log)
	if p.own != nil {
		return p.own
	}
	for _, h := range []hook{
		{"environment", p.adaptEnvironment},
		{"working directory", p.changeDirectory},
	} {
		if err := p.hooks.all.add(failDuplicate, h); err != nil {
			return err
		}
	}
	if err := p.hooks.all.run(&stage{root: root, log: log}); err != nil {
		return err
	}
	return p.execute(quiet, log)
}

// enterNamespaces completes the inner user namespace, or says why there is none.
func enterNamespaces(caller early.Caller, uid, gid uint32, log *message.Log) error {
	_, step, err := early.Namespaces()
	if err == nil {
		log.Debug("namespaces: %d:%d -> 0:0 -> %d:%d", caller.EUID, caller.EGID, uid, gid)
		var file string
		file, err = kernel.MapIDs(uid, gid)
		step = early.Step(file)
	}
	if err == nil {
		return nil
	}
	e := message.Wrap(err, "can't init user+mount namespaces: %s", step)
	return refused(e, err, caller, step != early.FirstStep)
}

// newScratch makes room for the mounts. It is the first use of the new privilege over the mount namespace.
func newScratch(caller early.Caller) (kernel.Scratch, error) {
	scratch, err := kernel.NewScratch()
	if err != nil {
		return scratch, refused(message.Wrap(err, "can't mount tmpfs at /"), err, caller, true)
	}
	return scratch, nil
}

// refused adds to the error e, of which err is the reason, why this host does not let ch-run work.
// entered says whether the process is in a user namespace of its own.
func refused(e *message.Error, err error, caller early.Caller, entered bool) error {
	executable, _ := os.Executable() // "" in a text at worst
	host := kernel.Host{Proc: "/proc", Executable: executable, UID: caller.EUID, Entered: entered}
	if why := host.WhyNoNamespaces(err); why != "" {
		return e.Hint("%s", why)
	}
	return e
}

// assemble builds the container's file system tree in scratch, in the order in which things have to
// happen, and returns the mount that is its root.
func (p *Plan) assemble(mounts, binds []bind.OpenMount, scratch kernel.FD, log *message.Log) (root kernel.FD, err error) {
	log.Debug("creating container filesystem tree")
	tree, err := p.attach(scratch, log)
	if err != nil {
		return -1, err
	}
	s := &stage{tree: tree, mounts: mounts, root: tree.Root(), log: log}
	if err := p.hooks.host.run(s); err != nil {
		return -1, err
	}
	mounts = append(s.mounts, binds...)
	if p.Writing == bind.InOverlay {
		log.Verbose("overlaying tmpfs for --write-fake (%s)", p.OverlaySize)
	}
	if mounts, err = tree.Prepare(mounts, p.OverlaySize, log); err != nil {
		return -1, err
	}
	if err := tree.Mount(mounts, log); err != nil {
		return -1, err
	}
	return tree.Root(), nil
}

// attach mounts the image.
func (p *Plan) attach(scratch kernel.FD, log *message.Log) (*bind.Tree, error) {
	if p.Image.Kind == image.SquashFS {
		return p.attachSquashFS(scratch, log)
	}
	return bind.AttachDirectory(p.Image.Handle, scratch, p.Root, p.Writing)
}

// adaptEnvironment turns the caller's environment into that of the command, except for the value of PWD.
func (p *Plan) adaptEnvironment(s *stage) error {
	env, log := p.Environment, s.log
	if _, ok := env.Get("PWD"); !ok {
		env.Set("PWD", "/") // see changeDirectory
	}
	env.Set("HOME", p.home(s.root))
	if !env.AppendToPath("/bin") {
		log.Warning("$PATH not set")
	}
	env.Unset("TMPDIR")
	for _, c := range p.Changes {
		if c.IsUnset {
			for _, name := range env.UnsetMatching(c.Unset) {
				log.Verbose("environment: unset %s", name)
			}
			continue
		}
		assignments, err := c.assignments(s.root)
		if err != nil {
			return err
		}
		for _, a := range assignments {
			value := a.Value
			if c.Expand {
				value = env.Expand(value)
			}
			log.Verbose("environment: %s=%s", a.Name, value)
			env.Set(a.Name, value)
		}
	}
	env.Set("CH_RUNNING", "Weird Al Yankovic")
	return nil
}

func (p *Plan) home(root kernel.FD) string {
	if p.Home != "" {
		return p.Home
	}
	fd, err := kernel.HandleInRoot(root, "/root")
	if err != nil {
		return "/"
	}
	defer fd.Close()
	if st, err := fd.Stat(); err != nil || !st.IsDir() {
		return "/"
	}
	return "/root"
}

func (c Change) assignments(root kernel.FD) ([]environ.Assignment, error) {
	if !c.FromImage {
		return c.Assignments, nil
	}
	fd, err := kernel.HandleInRoot(root, imageEnvironment)
	if err != nil {
		return nil, message.Wrap(err, "can't open: %s", imageEnvironment)
	}
	defer fd.Close()
	// Of an image that is not trusted, reading a FIFO or a device may never end.
	if st, err := fd.Stat(); err != nil || !st.IsRegular() {
		return nil, message.Errorf("can't open: %s: not a regular file", imageEnvironment)
	}
	data, err := kernel.ReadFile(kernel.CWD, fd.Path())
	if err != nil {
		return nil, message.Wrap(err, "can't read: %s", imageEnvironment)
	}
	return environ.Parse(data, c.Delimiter, imageEnvironment)
}

// openNull opens the host's /dev/null if --quiet is to silence the command.
func openNull(log *message.Log) (kernel.FD, error) {
	if log.Verbosity > -2 {
		return -1, nil
	}
	fd, err := kernel.OpenNull()
	if err != nil {
		return -1, message.Wrap(err, "can't open: /dev/null")
	}
	return fd, nil
}

func (p *Plan) changeDirectory(*stage) error {
	if p.Directory != "" {
		if err := kernel.Chdir(p.Directory); err != nil {
			return message.Wrap(err, "can't cd to %s", p.Directory)
		}
	}
	directory, err := kernel.Getcwd()
	if err != nil {
		return message.Wrap(err, "can't get working directory")
	}
	// Unless --unset-env removed it.
	if _, ok := p.Environment.Get("PWD"); ok {
		p.Environment.Set("PWD", directory)
	}
	return nil
}

// An ExecError is a command that could not be executed: exit status 49.
type ExecError struct{ message *message.Error }

func (e ExecError) Error() string { return e.message.Error() }

// Unwrap makes the message's place in the source known to package message.
func (e ExecError) Unwrap() error { return e.message }

// execute becomes the command. The filter of --seccomp is made before the last message, and in force after all else.
func (p *Plan) execute(null kernel.FD, log *message.Log) error {
	candidates := p.candidates()
	var filter []kernel.Instruction
	if p.Seccomp {
		filter = seccomp.Filter()
		log.Verbose("seccomp: faking privileged system calls, by a filter of %d instructions", len(filter))
	}
	if log.Admits(message.LevelVerbose) {
		log.Trace("environment: %s", message.Quote(p.Environment.Entries()))
		log.Trace("candidates: %s", message.Quote(candidates))
		log.Verbose("executing: %s", message.Quote(p.Command))
	}
	log.Reprint()
	stderr := kernel.FD(-1)
	streams := early.Streams{Stdout: log.Verbosity <= -2, Stderr: log.Verbosity <= -3}
	for target, redirect := range []bool{false, streams.Stdout, streams.Stderr} {
		if !redirect {
			continue
		}
		if target == 2 && p.Seccomp {
			stderr, _ = kernel.Duplicate(2) // may have been closed
		}
		if err := kernel.Redirect(null, target); err != nil {
			return message.Wrap(err, "can't redirect standard stream %d", target)
		}
	}
	err := early.Exec(candidates, p.Command, p.Environment.Entries(), streams, filter)
	var filterError *early.FilterError
	if errors.As(err, &filterError) {
		_ = kernel.Redirect(stderr, 2) // --quiet does not hide this
		return explainFilter(filterError)
	}
	return ExecError{message.Wrap(err, "can't execve(2): %s", p.Command[0])}
}

func explainFilter(e *early.FilterError) error {
	if e.SelfTest {
		return message.Wrap(e.Err, "seccomp self-test failed: kexec_load(2)")
	}
	m := message.Wrap(e.Err, "can't install seccomp filter")
	if errors.Is(e.Err, syscall.ENOSYS) || errors.Is(e.Err, syscall.EINVAL) {
		return m.Hint("%s", kernel.Seccomp.Requirement())
	}
	return m
}

// candidates returns the files that the command can be, in the order in which execvp(3) tries them.
func (p *Plan) candidates() []string {
	name := p.Command[0]
	if name == "" || strings.Contains(name, "/") {
		return []string{name}
	}
	search, ok := p.Environment.Get("PATH")
	if !ok {
		search = "/bin:/usr/bin" // what the C library takes instead
	}
	var list []string
	for directory := range strings.SplitSeq(search, ":") {
		if directory == "" {
			directory = "."
		}
		list = append(list, directory+"/"+name)
	}
	return list
}
