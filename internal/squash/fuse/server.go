// Package fuse serves a SquashFS image through /dev/fuse, as a process of its own: [Run] is its main
// function, and [Order] what the process that makes the container sends it.
//
// # The process
//
// Package early makes it, before the Go runtime starts, as soon as there may be an image to serve: a
// process outside the caller's session and process group, child of nobody that waits for it, outside the
// namespaces of the container, without any file of the caller's. It waits for an
// order with the open image and the open device, confines itself so that it can do little more than
// read the one and answer on the other, looks at the image, says whether that is one, and serves it. Once it
// has the threads that it cannot do without it says so too: the launch waits for that before it becomes the command.
// It ends when the kernel says that the file system is unmounted, which is when the last process of
// the container has gone, or when whoever started it goes away without an order. What unmounting takes (the kernel
// forgets all files and their pages) the command is spared: see attend.go.
//
// # Serving
//
// Workers read requests from the device and answer them, one at a time each; which of them listen depends on
// what comes (listen.go). There is no state per file or per opened file: node numbers say where inodes are,
// OPEN is left to the kernel where that is safe. The protocol is implemented here, the dozen requests that a
// read-only file system gets, because every launch would pay for initialising the packages of a library,
// directory images included: go-fuse adds 0.3 ms, 15 % of a launch.
//
// # Errors
//
// What is wrong with an image is EIO for the file concerned, and one line for syslog.
package fuse

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"ch-run/internal/kernel"
	"ch-run/internal/squash"
)

// An Order is what the server is to serve, and as what.
type Order struct {
	Image    kernel.FD // open for reading
	Device   kernel.FD // /dev/fuse, mounted
	Mount    kernel.FD // the mount; not used up by Send
	Command  kernel.FD // the process that will be the command (pidfd_open(2)), or -1
	UID, GID uint32    // of all files, in the container
	Path     string    // of the image, for messages
}

// Give gives the order to the server at the other end of socket, and keeps open nothing but the mount. It returns nil
// once the image is served, or else why it is not.
func (o Order) Give(socket kernel.FD) error {
	if err := o.send(socket); err != nil && !errors.Is(err, errServerDied) {
		return err
	}
	return await(socket, served) // who died may have said why
}

func (o Order) send(socket kernel.FD) error {
	text := fmt.Sprintf("%d %d %s", o.UID, o.GID, o.Path)
	files := []kernel.FD{o.Image, o.Device}
	if o.Command >= 0 {
		files = append(files, o.Mount, o.Command)
	}
	err := socket.SendFiles([]byte(text), files...)
	o.Image.Close()
	o.Device.Close()
	o.Command.Close()
	return unlessDied(err)
}

// unlessDied returns what an error of the socket means if the server at its other end has died.
func unlessDied(err error) error {
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return errServerDied
	}
	return err
}

// A ServerError is why there is no server. Other errors of [Order.Give] are about the image.
type ServerError string

func (e ServerError) Error() string { return string(e) }

// errServerDied is the answer of a server that could not give one.
const errServerDied = ServerError("the server process ended unexpectedly")

// AwaitReady waits until the server has what it cannot do without, and might not get once there is a command: threads
// count towards the limit of processes. It comes after [Order.Give], and is the end of the conversation.
func AwaitReady(socket kernel.FD) error {
	defer socket.Close()
	return await(socket, ready)
}

func await(socket kernel.FD, want string) error {
	answer, err := socket.Receive()
	if errors.Is(err, syscall.ECONNRESET) { // it died before it had read the order; what it said comes after that
		answer, err = socket.Receive()
	}
	switch {
	case err != nil:
		return unlessDied(err)
	case len(answer) == 0:
		return errServerDied
	case string(answer) == want:
		return nil
	}
	if why, ok := strings.CutPrefix(string(answer), noServer); ok {
		return ServerError(why)
	}
	return errors.New(string(answer))
}

// What the server says, besides what is wrong with the image.
const (
	served   = "served"
	ready    = "ready"
	noServer = "server: " // and why not; package early says that, too
)

// cannot says why there is no server, in the words of strerror(3): those of package syscall, in upper case.
func cannot(what string, err error) string {
	why := err.Error()
	return noServer + "can't " + what + ": " + strings.ToUpper(why[:1]) + why[1:]
}

func receiveOrder(socket kernel.FD) (o Order, ok bool) {
	text, files, err := socket.ReceiveFiles(4)
	if err != nil || len(files) != 2 && len(files) != 4 {
		return o, false
	}
	o.Image, o.Device, o.Mount, o.Command = files[0], files[1], -1, -1
	if len(files) == 4 {
		o.Mount, o.Command = files[2], files[3]
	}
	uid, rest, _ := strings.Cut(string(text), " ")
	gid, path, ok := strings.Cut(rest, " ")
	if !ok {
		return o, false
	}
	for _, id := range []struct {
		text string
		id   *uint32
	}{{uid, &o.UID}, {gid, &o.GID}} {
		n, err := strconv.ParseUint(id.text, 10, 32)
		if err != nil {
			return o, false
		}
		*id.id = uint32(n)
	}
	o.Path = path
	return o, true
}

// A Process is what the server has from who made it.
type Process struct {
	Socket kernel.FD // at which it gets its order
	Guess  kernel.FD // what is presumably the image, or -1
	Load   kernel.FD // /proc/loadavg, or -1

	// Serving is called when the image is about to be served, with what the process is to be called from then on.
	Serving func(title string)
	// SpareThreads creates threads for the Go runtime and returns how many it could create: it may lack room.
	SpareThreads func(count int) int
}

// Run waits for an order and carries it out. It returns when there is nothing more to do.
func Run(p Process) {
	// What can be done before the order comes is done before: the launch waits for the answer.
	log, _ := kernel.OpenLog() // -1 if there is none
	opens := kernel.FuseLosesInodes()
	kernel.ResetTimerSlack()                  // the runtime has started
	if runtime.GOMAXPROCS(0) != firstPlaces { // package early found no room in the environment
		runtime.GOMAXPROCS(firstPlaces)
	}
	socket, guess := p.Socket, p.Guess
	c, confined := newConnection(p.Load)
	if confined == nil {
		confined = kernel.Confine()
	}
	if confined != nil {
		guess = -1
	}
	reader, openErr := c.open(guess)
	for i := 0; i < prepared && openErr == nil && !socket.HasInput(); i++ {
		reader.Prepare()
	}
	o, ok := receiveOrder(socket)
	if !ok {
		return // nobody needs a server
	}
	if same, err := kernel.SameFile(guess, o.Image); err == nil && same {
		o.Image.Close()
	} else {
		guess.Close()
		reader, openErr = c.open(o.Image)
	}
	answer := served
	switch {
	case confined != nil:
		answer = cannot("confine it", confined)
	case openErr != nil:
		answer = openErr.Error()
	}
	if err := socket.Send([]byte(answer)); answer != served || err != nil {
		return
	}
	i := &image{Reader: reader, uid: o.UID, gid: o.GID, opens: opens, faults: faults{path: o.Path, log: log}}
	c.serve(o, i, p.SpareThreads, func(enough bool) {
		if !enough {
			_ = socket.Send([]byte(cannot("create thread", syscall.EAGAIN)))
			os.Exit(0) // nobody is to wait for an answer that there may be no thread for
		}
		p.Serving("ch-run: squashfs server " + o.Path)
		_ = socket.Send([]byte(ready)) // the launch may have failed
		socket.Close()
	})
}

// open looks at the image as far as the root directory.
func (c *connection) open(file kernel.FD) (*squash.Reader, error) {
	st, err := file.Stat()
	if err != nil {
		return nil, err
	}
	source := storage{file, func() { c.listening.letAll(slownessLasts) }}
	r, err := squash.Open(source, st.Size, squash.Options{Prefetch: file.Prefetch, Share: c.share})
	if err != nil {
		return nil, err
	}
	root, err := r.Inode(r.Root())
	if err != nil {
		return nil, err
	}
	if root.Type != squash.Directory {
		return nil, errors.New("its root is not a directory")
	}
	return r, r.ReadDir(root, 0, func(squash.Entry) bool { return false })
}

// faults are the errors in an image that have been reported.
type faults struct {
	path string
	log  kernel.FD

	mu   sync.Mutex
	seen map[fault]bool
}

type fault struct {
	node uint64
	text string
}

// maxFaults limits how many are reported: who needs more needs a new image.
const maxFaults = 1000

// report tells syslog, once, of an error at a file.
func (f *faults) report(file fault) {
	const userErr = 1<<3 | 3 // facility user, severity err (RFC 3164)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen[file] || len(f.seen) >= maxFaults {
		return
	}
	if f.seen == nil {
		f.seen = map[fault]bool{}
	}
	f.seen[file] = true
	// UTC, as the file with the local time zone is out of reach; syslog daemons use their own time anyway.
	_ = f.log.SendLog(fmt.Sprintf("<%d>%s ch-run[%d]: SquashFS image %s: %s: %v\n", userErr,
		time.Now().UTC().Format(time.Stamp), os.Getpid(), f.path, file.text, syscall.EIO))
}
