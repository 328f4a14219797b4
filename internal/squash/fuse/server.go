// Package fuse serves a SquashFS image through /dev/fuse, as a process of its own: [Run] is its main
// function, and [Order] what the process that makes the container sends it.
//
// # The process
//
// Package early makes it, before the Go runtime starts, as soon as there may be an image to serve: a
// process outside the caller's session and process group, child of nobody that waits for it, in a
// mount namespace in which the image is not mounted, without any file of the caller's. It waits for an
// order with the open image and the open device, confines itself so that it can do little more than
// read the one and answer on the other, looks at the image, says whether that is one, and serves it.
// It ends when the kernel says that the file system is unmounted, which is when the last process of
// the container has gone, or when whoever started it goes away without an order.
//
// # Serving
//
// Workers read requests from the device and answer them, one at a time each. There is no state per
// file or per opened file: node numbers say where inodes are, OPEN is left to the kernel. The
// protocol is implemented here, the dozen requests that a read-only file system gets, because every
// launch would pay for initialising the packages of a library, directory images included: go-fuse
// adds 0.3 ms, 15 % of a launch.
//
// # Errors
//
// What is wrong with an image is EIO for the file concerned, and one line for syslog.
package fuse

import (
	"errors"
	"fmt"
	"os"
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
	UID, GID uint32    // of all files, in the container
	Path     string    // of the image, for messages
}

// AwaitStart waits until the server at the other end of socket has a mount namespace of its own. The image
// must not be mounted before: the server would have it too, and never see its end.
func AwaitStart(socket kernel.FD) error {
	started, err := socket.Receive()
	if err == nil && len(started) == 0 {
		err = ErrServerDied
	}
	return err
}

// Send gives the order to the server at the other end of socket, and keeps nothing open. [Await] has the answer.
func (o Order) Send(socket kernel.FD) error {
	text := fmt.Sprintf("%d %d %s", o.UID, o.GID, o.Path)
	err := socket.SendFiles([]byte(text), o.Image, o.Device)
	o.Image.Close()
	o.Device.Close()
	return err
}

// ErrServerDied is the answer of a server that could not give one.
var ErrServerDied = errors.New("the server process ended unexpectedly")

// Await returns nil once the image is served, or else why it is not.
func Await(socket kernel.FD) error {
	defer socket.Close()
	answer, err := socket.Receive()
	switch {
	case err != nil:
		return err
	case len(answer) == 0:
		return ErrServerDied
	case string(answer) != served:
		return errors.New(string(answer))
	}
	return nil
}

const served = "served"

func receiveOrder(socket kernel.FD) (o Order, ok bool) {
	text, files, err := socket.ReceiveFiles(2)
	if err != nil || len(files) != 2 {
		return o, false
	}
	o.Image, o.Device = files[0], files[1]
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

// Run waits for an order at socket and carries it out. It returns when there is nothing more to do.
// show is called with what the process is to be called from then on.
func Run(socket kernel.FD, show func(title string)) {
	o, ok := receiveOrder(socket)
	if !ok {
		return // nobody needs a server
	}
	show("ch-run: squashfs server " + o.Path)
	m := &image{uid: o.UID, gid: o.GID, faults: faults{path: o.Path}}
	m.faults.log, _ = kernel.OpenLog() // -1 if there is none
	err := kernel.Confine()
	if err == nil {
		err = m.open(o.Image)
	}
	answer := served
	if err != nil {
		answer = err.Error()
	}
	sendErr := socket.Send([]byte(answer))
	socket.Close()
	if err == nil && sendErr == nil {
		serve(o.Device, m)
	}
}

// open looks at the image as far as the root directory.
func (m *image) open(file kernel.FD) error {
	size, err := file.Size()
	if err != nil {
		return err
	}
	if m.Reader, err = squash.Open(file, size, squash.Options{}); err != nil {
		return err
	}
	root, err := m.Inode(m.Root())
	if err != nil {
		return err
	}
	if root.Type != squash.Directory {
		return errors.New("its root is not a directory")
	}
	return m.ReadDir(root, 0, func(squash.Entry) bool { return false })
}

// faults are the errors in an image that have been reported.
type faults struct {
	path string
	log  kernel.FD

	mu   sync.Mutex
	seen map[fault]bool
}

type fault struct {
	inode uint64
	text  string
}

// maxFaults limits how many are reported: who needs more needs a new image.
const maxFaults = 1000

// report tells syslog of an error at the file with a node number, once.
func (f *faults) report(node uint64, err error) {
	const userErr = 1<<3 | 3 // facility user, severity err (RFC 3164)
	f.mu.Lock()
	defer f.mu.Unlock()
	this := fault{node, err.Error()}
	if f.seen[this] || len(f.seen) >= maxFaults {
		return
	}
	if f.seen == nil {
		f.seen = map[fault]bool{}
	}
	f.seen[this] = true
	// UTC, as the file with the local time zone is out of reach; syslog daemons use their own time anyway.
	_ = f.log.SendLog(fmt.Sprintf("<%d>%s ch-run[%d]: SquashFS image %s: inode at %v: %s: %v\n", userErr,
		time.Now().UTC().Format(time.Stamp), os.Getpid(), f.path, squash.Ref(node), this.text, syscall.EIO))
}
