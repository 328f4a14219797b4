package container

import (
	"errors"
	"strconv"
	"syscall"

	"ch-run/internal/cli"
	"ch-run/internal/early"
	"ch-run/internal/environ"
	"ch-run/internal/image"
	"ch-run/internal/join"
	"ch-run/internal/kernel"
	"ch-run/internal/message"
)

// A Group is whom a process shares its container with.
type Group struct {
	early.Group
	peers join.Group
}

// FindGroup returns the group that the options ask for, or nil if they ask for none.
func FindGroup(o *cli.Options, env *environ.Environment) (*Group, error) {
	g := &Group{Group: early.Group{Timeout: early.DefaultTimeout, PID: o.JoinPID}}
	if o.JoinTimeout != nil {
		g.Timeout = *o.JoinTimeout
	}
	switch {
	case o.JoinPID != 0:
		return g, nil
	case !o.Join:
		return nil, nil
	}
	var err error
	g.peers, err = join.Find(o.JoinSize, o.JoinTag, join.Caller{Variable: env.Get, Parent: early.Parent()})
	g.Size, g.Tag = g.peers.Size, g.peers.Tag
	return g, err
}

// log tells what the group is. It may be nil.
func (g *Group) log(log *message.Log) {
	if g == nil {
		log.Verbose("join: 0 0 (null) 0")
		return
	}
	tag := "(null)"
	if g.PID == 0 {
		log.Verbose("join: peer group size from %s", g.peers.SizeFrom)
		log.Verbose("join: peer group tag from %s", g.peers.TagFrom)
		tag = g.Tag
	}
	log.Verbose("join: %d %d %s %d", flag(g.PID == 0), g.Size, tag, g.PID)
}

// Met returns nil if the process has met its group, or else why not.
func (g *Group) Met(met early.Group, err error) error {
	var e *early.JoinError
	if g != nil && early.Relaunched() {
		g.Tag = met.Tag // the parent, whose PID it may be, may have ended since
	}
	switch {
	case g == nil || *g != Group{met, g.peers}:
		return message.Errorf("join: met group %v, not the one of the command line; please report this", met)
	case errors.As(err, &e):
		return g.explain(e)
	}
	return err
}

// explain says what kept the process from joining, and what to do about it.
func (g *Group) explain(e *early.JoinError) error {
	switch e.Trouble {
	case early.ForeignObject:
		owner := strconv.FormatUint(uint64(e.Number), 10)
		return message.Errorf("join: not mine, but of user %s: %s", owner, e.Path).
			Hint("choose another tag, --join-tag, or have the owner remove the file")
	case early.WrongObject:
		return message.Errorf("join: not a regular file of mode 0600: %s", e.Path).Hint("remove it, or choose another tag, --join-tag")
	case early.UnknownFormat:
		return message.Errorf("join: made by another program, or another version of ch-run: %s", e.Path).
			Hint("choose another tag, --join-tag, or remove the file if nobody uses it")
	case early.OtherSize:
		return message.Errorf("join: peer group %s is of %d peers and not of %d", g.Tag, e.Number, g.Size).
			Hint("all peers need the same --join-ct; or is the tag in use for another group?")
	case early.OtherNamespaces:
		return message.Errorf("join: peer group %s was formed in another user or PID namespace", g.Tag).
			Hint("in a container, peers need a tag of their own, --join-tag; if nobody uses them, remove the files ch-run_*-%s in /dev/shm", g.Tag)
	case early.GroupFull:
		return message.Errorf("join: all %d peers of group %s have come already", e.Number, g.Tag).
			Hint("more than that were started; see --join-ct")
	case early.TimedOut:
		winner := "no winner among them"
		if e.Winner != 0 {
			winner = "the winner, PID " + strconv.Itoa(e.Winner) + ", has not made the container"
		}
		return message.Errorf("join: timed out after %d s: %d of %d peers came, %s", g.Timeout, e.Number, g.Size, winner).
			Hint("--join-timeout gives it more time")
	case early.HeldUp:
		return message.Errorf("join: timed out after %d s: PID %d holds up all others", g.Timeout, e.Number).
			Hint("it may have been stopped, see ps(1); 'kill -CONT %d' lets it go on", e.Number)
	case early.WinnerFailed:
		return message.Errorf("join: the winner, PID %d, failed: %s", e.Winner, e.Text)
	case early.NoSuchProcess:
		return message.Errorf("join: no PID %d: %s not found", g.PID, e.Path)
	case early.CannotOpenProc:
		return message.Wrap(e.Err, "join: can't open %s", e.Path).Hint("only your own containers can be joined")
	case early.NotInContainer:
		return message.Errorf("join: PID %d is not in a container", g.PID).
			Hint("give the PID of a command that ch-run has started, or of one of its children")
	case early.CannotFind:
		return hinted(e.Err, message.Wrap(e.Err, "join: can't open the namespaces of the container of group %s", g.Tag),
			"the peers in it are of another kind, or a seccomp filter is in force here")
	case early.CannotEnterUser:
		return hinted(e.Err, message.Wrap(e.Err, "join: can't join user namespace"), "only your own containers can be joined")
	}
	return hinted(e.Err, message.Wrap(e.Err, "join: can't open %s", e.Path), "peers meet in /dev/shm, a tmpfs that all may write to")
}

// hinted adds what can be done about the error of a system call: the given text, unless it is a limit that was reached.
func hinted(err syscall.Errno, e *message.Error, permission string) error {
	switch err {
	case syscall.EMFILE:
		return e.Hint("raise the limit of open files, ulimit -n")
	case syscall.EFBIG:
		return e.Hint("raise the limit of the size of files, ulimit -f")
	case syscall.ENFILE, syscall.ENOMEM, syscall.ENOSPC:
		return e
	}
	return e.Hint("%s", permission)
}

// adviseJoin says, once in a step of Slurm, that its tasks on a node are in containers of their own, as MPI libraries
// do not tell why they are slow then (Open MPI), or fail (MPICH with UCX). It is no more than advice: in one container
// they would share what --private-tmp and --write-fake give to each.
func adviseJoin(env *environ.Environment, log *message.Log) {
	tasks := join.Caller{Variable: env.Get}.Tasks()
	if rank, _ := env.Get("SLURM_PROCID"); rank == "0" && tasks > 1 {
		log.Warning("%d tasks of this step are in containers of their own on one node: MPI needs --join; --join-ct=1 silences this", tasks)
	}
}

// publish tells the losers that the container stands. Whatever is wrong with this process from now on is its
// own affair.
func (p *Plan) publish(handles [2]early.NamespaceHandle, log *message.Log) {
	if p.Group == nil {
		return
	}
	log.Verbose("join: I won")
	log.Verbose("join: winner initializing shared data")
	facts := early.Facts{Image: p.Image.Path, Home: p.Home}
	facts.Variables, facts.More = p.deviceVariables()
	if st, err := p.Image.Handle.Stat(); err == nil {
		facts.ImageDevice, facts.ImageInode = st.Device, st.Inode
	}
	early.Publish(facts, handles[0], handles[1])
}

// deviceVariables returns the variables of devices, each once, for losers who do nothing else to their environment.
// more says that this is not all: one of them is among those that ch-run itself sets, or looks at.
func (p *Plan) deviceVariables() (entries []string, more bool) {
	env := environ.New(nil)
	for _, c := range p.Changes {
		for _, a := range c.Assignments {
			switch a.Name {
			case "PATH", "HOME", "PWD", "TMPDIR", "CH_RUNNING":
				more = true
			}
			env.Set(a.Name, a.Value)
		}
	}
	return env.Entries(), more
}

// namespaceHandles returns what losers open the user and the mount namespace by; nothing where the kernel has no
// such handles.
func (p *Plan) namespaceHandles(log *message.Log) (handles [2]early.NamespaceHandle) {
	if p.Group == nil {
		return handles
	}
	err := kernel.JoinHandles.Check(-1)
	for i, name := range []string{"user", "mnt"} {
		var kind int32
		var bytes []byte
		if err == nil {
			kind, bytes, err = kernel.NamespaceHandle(name)
		}
		handles[i] = early.NamespaceHandle{Type: kind, Bytes: bytes}
	}
	if err != nil {
		log.Debug("join: no namespace file handles (%s): %s", kernel.JoinHandles.Requirement(), message.Reason(err))
		return [2]early.NamespaceHandle{}
	}
	return handles
}

// settle gives the other peers a moment to come in.
func (p *Plan) settle(log *message.Log) {
	if p.Group == nil || p.Group.PID != 0 {
		return
	}
	left, cleaned := early.Settle()
	log.Verbose("join: %d peers left", left)
	if cleaned {
		log.Verbose("join: cleaning up IPC")
	}
}

// NewMember makes the plan for a process that enters a container which is there already: what is about the
// container itself is not in it.
func NewMember(o *cli.Options, caller early.Caller, role early.Role, group *Group, env *environ.Environment, log *message.Log) (*Plan, error) {
	p := &Plan{Directory: o.Directory, Command: o.Command, Environment: env, Seccomp: o.Seccomp, Group: group, hooks: newHooks()}
	_, variables, err := findDevices(o, env, log)
	if err != nil {
		return nil, err
	}
	if p.Changes, err = changes(o.Environment, variables); err != nil {
		return nil, err
	}
	log.Verbose("verbosity: %d", o.Verbosity)
	log.Verbose("image: %s", o.Image)
	log.Verbose("seccomp: %d", flag(o.Seccomp))
	group.log(log)
	if role == early.Guest {
		log.Verbose("joining namespaces of pid %d", group.PID)
		return p, nil
	}
	facts := early.JoinFacts()
	log.Verbose("join: I lost")
	log.Verbose("joining namespaces of pid %d", facts.Winner)
	p.Home = facts.Home
	if !early.SameReference() && !sameImage(o, storageDirectory(o, env, userName(env, caller), log), facts) {
		log.Warning("join: image ignored: %s: the winner's is %s", o.Image, facts.Image)
	}
	return p, nil
}

func sameImage(o *cli.Options, storage string, facts early.Facts) bool {
	i, err := image.Find(o.Image, storage, image.Access{Unsafe: true})
	if err != nil {
		return false
	}
	defer i.Handle.Close()
	st, err := i.Handle.Stat()
	return err == nil && st.Device == facts.ImageDevice && st.Inode == facts.ImageInode
}

// Enter enters the container and becomes the command. It returns only if that fails.
//
// Preconditions: the process is in the user namespace of the container, and the calling goroutine is locked to
// the main thread.
func (p *Plan) Enter(log *message.Log) error {
	quiet, err := openNull(log)
	if err != nil {
		return err
	}
	if err := kernel.EnterMountNamespace(kernel.FD(early.MountNamespace())); err != nil {
		return message.Wrap(err, "join: can't join mount namespace")
	}
	root, err := kernel.DirectoryHandle(kernel.CWD, "/")
	if err != nil {
		return message.Wrap(err, "can't open: /")
	}
	return p.start(root, quiet, log)
}
