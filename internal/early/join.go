package early

// #include <stdlib.h>
// #include "early.h"
import "C"

import (
	"strings"
	"syscall"
	"unsafe"
)

// MaxTag is the length, in bytes, of the longest tag that a group can have.
const MaxTag = C.EARLY_TAG_MAX

// A Group is whom a process shares its container with: peers, or one that is in the container already.
type Group struct {
	Size    uint32 // number of peers
	Tag     string // names the group
	Timeout uint32 // how long to wait for the container, in seconds
	PID     int32  // if not 0, enter the container of this process, whatever Size and Tag
}

// DefaultTimeout is how long peers wait if nothing else is asked for, in seconds.
const DefaultTimeout uint32 = C.EARLY_PATIENCE

// Role is what a process does for its group.
type Role int

// The roles.
const (
	Alone  Role = C.EARLY_ALONE  // is in no group, or could not join it
	Winner Role = C.EARLY_WINNER // makes the container
	Loser  Role = C.EARLY_LOSER  // is in the user namespace of the winner's container
	Guest  Role = C.EARLY_GUEST  // is in the user namespace of the process's container
)

// Facts are what losers have to know of the container.
type Facts struct {
	Winner                  int    // PID
	Image                   string // path of the image that it was made of
	ImageDevice, ImageInode uint64 // of the image
	Home                    string // what $HOME has to be, or "" to have it depend on the image
	// Variables are what the devices of the container set, "NAME=VALUE", if that is simply to be added to the environment of
	// a loser with the winner's options.
	Variables []string
	// More says that there is more to know than what is here.
	More bool
}

// A JoinError is why a process could not join its group.
type JoinError struct {
	Trouble Trouble
	Err     syscall.Errno // or 0
	Path    string        // of what is wrong
	Number  uint32        // a user ID, a PID, or a number of peers
	Text    string        // the winner's error
	Winner  int           // PID of the winner, or 0 if there was none
}

// Error is for programmers only: package container has the texts for users.
func (e *JoinError) Error() string { return "can't join: " + e.Err.Error() }

// Trouble is the kind of a [JoinError].
type Trouble int

// The troubles; what they say of the other fields is in early.h.
const (
	CannotOpen      Trouble = C.EARLY_JOIN_OPEN
	ForeignObject   Trouble = C.EARLY_JOIN_OWNER
	WrongObject     Trouble = C.EARLY_JOIN_KIND
	UnknownFormat   Trouble = C.EARLY_JOIN_FORMAT
	OtherSize       Trouble = C.EARLY_JOIN_SIZE
	OtherNamespaces Trouble = C.EARLY_JOIN_ORIGIN
	GroupFull       Trouble = C.EARLY_JOIN_FULL
	HeldUp          Trouble = C.EARLY_JOIN_STUCK
	TimedOut        Trouble = C.EARLY_JOIN_TIMEOUT
	WinnerFailed    Trouble = C.EARLY_JOIN_FAILED
	NoSuchProcess   Trouble = C.EARLY_JOIN_NO_PID
	CannotOpenProc  Trouble = C.EARLY_JOIN_PID
	NotInContainer  Trouble = C.EARLY_JOIN_OUTSIDE
	CannotFind      Trouble = C.EARLY_JOIN_CONTAINER
	CannotEnterUser Trouble = C.EARLY_JOIN_ENTER
)

// Join says whether the constructor was to join a group, which, and what came of it: a role, or a [JoinError].
func Join() (group Group, asked bool, role Role, err error) {
	j := &C.early_join
	if j.asked == 0 {
		return Group{}, false, Alone, nil
	}
	group = groupOf(&j.group)
	if j.trouble != 0 {
		err = &JoinError{
			Trouble: Trouble(j.trouble), Err: syscall.Errno(j.error), Path: C.GoString(&j.path[0]),
			Number: uint32(j.number), Text: C.GoString(&j.text[0]), Winner: int(j.facts.winner),
		}
	}
	return group, true, Role(j.role), err
}

func groupOf(g *C.struct_early_group) Group {
	return Group{Size: uint32(g.size), Tag: C.GoString(&g.tag[0]), Timeout: uint32(g.timeout), PID: int32(g.pid)}
}

// Parent returns the PID of the process that started this one: it may have ended since.
func Parent() int { return int(C.early_state.parent) }

// Relaunched says whether this is the work of [Relaunch].
func Relaunched() bool { return C.early_state.relaunched != 0 }

// MountNamespace returns the open mount namespace of the container that a loser or guest is to enter.
func MountNamespace() int { return int(C.early_join.mount_namespace) }

// JoinFacts returns what the winner has published.
//
// Preconditions: the process is a [Loser].
func JoinFacts() Facts {
	f := &C.early_join.facts
	return Facts{
		Winner: int(f.winner), Image: C.GoString(&f.image[0]), Home: C.GoString(&f.home[0]),
		ImageDevice: uint64(f.image_device), ImageInode: uint64(f.image_inode),
	}
}

// SameReference says whether the process has the options of the winner and was started in the same directory, so that
// its image is the same.
//
// Preconditions: the process is a [Loser].
func SameReference() bool { return C.early_join.reference == C.early_join.facts.reference }

// Logged says whether syslog knows of the process already.
func Logged() bool { return C.early_join.logged != 0 }

// A NamespaceHandle is a namespace file handle (name_to_handle_at(2); Linux 6.18), or nothing.
type NamespaceHandle struct {
	Type  int32
	Bytes []byte
}

// Publish tells the losers that the container stands, and how to enter it. Without handles they find it by the
// PIDs of those who are in.
//
// Preconditions: the process is the [Winner], and in the container.
func Publish(facts Facts, user, mount NamespaceHandle) {
	f := C.struct_early_facts{reference: C.early_join.reference, image_device: C.uint64_t(facts.ImageDevice), image_inode: C.uint64_t(facts.ImageInode)}
	copyText(f.image[:], facts.Image)
	copyText(f.home[:], facts.Home)
	if variables := strings.Join(facts.Variables, "\x00"); facts.More || len(variables)+2 > len(f.variables) {
		f.more = 1
	} else {
		copyText(f.variables[:], variables)
	}
	u, m := user.c(), mount.c()
	C.early_join_publish(&f, &u, &m)
}

func (h NamespaceHandle) c() (c C.struct_early_handle) {
	if len(h.Bytes) <= len(c.data) {
		c.bytes, c._type = C.uint32_t(len(h.Bytes)), C.int32_t(h.Type)
		for i, b := range h.Bytes {
			c.data[i] = C.uint8_t(b)
		}
	}
	return c
}

// copyText copies what fits of text, and a NUL.
func copyText(to []C.char, text string) {
	for i := range min(len(text), len(to)-1) {
		to[i] = C.char(text[i])
	}
}

// FailGroup tells the losers that there will be no container, and why. It does nothing in others than a
// winner that has not published.
func FailGroup(reason error) {
	text := C.CString(reason.Error())
	defer C.free(unsafe.Pointer(text))
	C.early_join_fail(text)
}

// Settle waits a moment for peers that have not come yet: until all are in, but not long after the last that did
// come. left is how many were still missing when this process came in; cleaned says whether it was this one
// that removed what the group met by.
func Settle() (left int, cleaned bool) {
	C.early_join_settle()
	return int(C.early_join.left), C.early_join.cleaned != 0
}
