package test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The places in the rendezvous at which a process can be made to die: those that FAULT names in
// internal/early/join.c.
var (
	// of a peer that nobody has counted yet
	faultsOnArrival = []string{"opened", "making", "taking"}
	// of a winner
	faultsOfWinner = []string{"publishing", "published"}
	// of a loser, the group being complete
	faultsOfLoser = []string{"ready", "container-open"}
	// of any peer, the group being complete
	faultsOfAll = []string{"leaving", "left", "unlinking", "unlinked", "settling"}
	allFaults   = slices.Concat(faultsOnArrival, []string{"arrived", "won", "waiting"}, faultsOfWinner, faultsOfLoser, faultsOfAll)
)

// A group is peers that were started with one tag. Those that get in wait until the group is released.
type group struct {
	t     *testing.T
	tag   string
	size  int
	image string
	hold  *os.File // what they wait for the end of
	write *os.File
	peers []*groupPeer
}

type groupPeer struct {
	*exec.Cmd
	stdout, stderr output_
	ended          chan struct{}
}

// output_ is what a peer prints.
type output_ struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output_) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output_) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func newGroup(t *testing.T, img string, size int) *group {
	t.Helper()
	g := &group{t: t, tag: fmt.Sprintf("test-%d", rand.Uint64()), size: size, image: img}
	var err error
	if g.hold, g.write, err = os.Pipe(); err != nil {
		t.Fatal(err)
	}
	return g
}

// start starts another peer. fault is as in CH_RUN_FAULT.
func (g *group) start(fault string, options ...string) *groupPeer {
	g.t.Helper()
	p := g.prepare(fault, options...)
	g.run(p)
	return p
}

func (g *group) prepare(fault string, options ...string) *groupPeer {
	args := append([]string{fmt.Sprintf("--join-ct=%d", g.size), "--join-tag=" + g.tag}, options...)
	p := &groupPeer{Cmd: chRun(append(args, g.image, "--", "/bin/probe", "when", "namespaces")...), ended: make(chan struct{})}
	p.Path = inputs + "/bin/ch-run.faults"
	p.Env = append(p.Env, "CH_RUN_FAULT="+fault)
	p.Stdin, p.Stdout, p.Stderr = g.hold, &p.stdout, &p.stderr
	return p
}

func (g *group) run(p *groupPeer) {
	g.t.Helper()
	if err := p.Start(); err != nil {
		g.t.Fatal(err)
	}
	go func() {
		_ = p.Wait() // see how
		close(p.ended)
	}()
	g.peers = append(g.peers, p)
}

func (p *groupPeer) in() bool { return strings.HasPrefix(p.stdout.String(), "ready\n") }

func (p *groupPeer) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// how says how a peer ended. One that does not is killed.
func (p *groupPeer) how() string {
	select {
	case <-p.ended:
	case <-time.After(patience):
		_ = p.Process.Kill()
		<-p.ended
		return "hung"
	}
	w := p.ProcessState.Sys().(syscall.WaitStatus)
	if w.Signaled() {
		return signalName(w.Signal())
	}
	return fmt.Sprint(w.ExitStatus())
}

// stopped says whether a peer is stopped by a signal.
func (p *groupPeer) stopped() bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Process.Pid))
	return err == nil && bytes.Contains(text, []byte(") T "))
}

func (g *group) eventually(what string, condition func() bool) {
	g.t.Helper()
	if !eventually(condition) {
		g.t.Errorf("never %s:\n%s", what, g)
		for _, p := range g.peers {
			_ = p.Process.Kill()
		}
		g.t.FailNow()
	}
}

func (g *group) String() string {
	var b strings.Builder
	for i, p := range g.peers {
		state := "running"
		if p.hasEnded() {
			state = p.how()
		}
		fmt.Fprintf(&b, "peer %d, PID %d: %s: %q %q\n", i, p.Process.Pid, state, p.stdout.String(), p.stderr.String())
	}
	return b.String()
}

// path is where the peers of the group meet.
func (g *group) path() string { return "/dev/shm/ch-run_shm-" + g.tag }

// arrived returns how many peers have come, from the record: struct record in internal/early/join.c.
func (g *group) arrived() int {
	text, err := os.ReadFile(g.path())
	if err != nil || len(text) < 24 {
		return 0
	}
	return int(binary.LittleEndian.Uint32(text[20:]))
}

// settled waits until each peer is in or has ended, and checks that those that are in are in one container, and that
// no other ended but by SIGKILL. It returns how many are in.
func (g *group) settled() (in int) {
	g.t.Helper()
	return g.settledWith(func(*groupPeer) bool { return false })
}

// settledWith is settled, where some peers may fail.
func (g *group) settledWith(mayFail func(p *groupPeer) bool) (in int) {
	g.t.Helper()
	g.eventually("settled", func() bool {
		return !slices.ContainsFunc(g.peers, func(p *groupPeer) bool { return !p.in() && !p.hasEnded() })
	})
	if err := g.write.Close(); err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = g.hold.Close() }()
	where := map[string]int{}
	for i, p := range g.peers {
		switch how := p.how(); {
		case how == "0":
			in++
			_, namespaces, _ := strings.Cut(p.stdout.String(), "\n")
			where[namespaces]++
		case how != "SIGKILL" && !mayFail(p):
			g.t.Errorf("peer %d of %d ended with %s: %s", i, g.size, how, p.stderr.String())
		}
	}
	if len(where) > 1 {
		g.t.Errorf("%d peers in %d containers: %v", in, len(where), where)
	}
	return in
}

// objects returns what the peers of a tag meet by and have not removed.
func objects(tag string) []string {
	names, _ := filepath.Glob("/dev/shm/*ch-run_*-" + tag)
	return names
}

func (g *group) checkClean(when string) {
	g.t.Helper()
	if left := objects(g.tag); len(left) > 0 {
		g.t.Errorf("left after %s: %v", when, left)
	}
}

// sweep has another group remove what this one could not, because a peer was killed before it was counted.
func (g *group) sweep() {
	g.t.Helper()
	if len(objects(g.tag)) == 0 {
		return
	}
	other := newGroup(g.t, g.image, 2)
	first := other.start("won=19")
	other.eventually("stopped", first.stopped)
	other.start("")
	other.eventually("swept", func() bool { return len(objects(g.tag)) == 0 })
	if err := first.Process.Signal(syscall.SIGCONT); err != nil {
		g.t.Fatal(err)
	}
	other.settled()
	other.checkClean("sweeping")
}

// joinImages returns a directory and a SquashFS image.
func joinImages(t *testing.T) map[string]string {
	t.Helper()
	return map[string]string{"directory": image(t), "squashfs": squashImage(t, nil)}
}

// Whichever peers are killed in whatever step, the others are soon in one container, and nothing is left.
func TestJoinTorture(t *testing.T) {
	for kind, img := range joinImages(t) {
		var mu sync.Mutex
		killed := map[string]int{}
		t.Run(kind, func(t *testing.T) {
			// Of two peers, every second time the one is killed who takes the step that only one takes.
			for size, rounds := range map[int]int{2: 16, 16: 2, 64: 1, 256: 1} {
				t.Run(fmt.Sprint(size), func(t *testing.T) {
					t.Parallel()
					for i := range rounds * len(allFaults) {
						fault := allFaults[i%len(allFaults)]
						g := newGroup(t, img, size)
						// Those that come first, as one of them will be the winner, and others.
						faulty := map[int]bool{rand.IntN(2): true}
						for size > 2 && len(faulty) < 4 {
							faulty[rand.IntN(size)] = true
						}
						for j := range size {
							if faulty[j] {
								g.start(fault + "=9")
							} else {
								g.start("")
							}
						}
						in := g.settled()
						if in < size-len(faulty) {
							t.Errorf("%s: %d of %d peers in, with %d faulty\n%s", fault, in, size, len(faulty), g)
						}
						mu.Lock()
						killed[fault] += size - in
						mu.Unlock()
						g.sweep()
					}
				})
			}
		})
		for _, fault := range allFaults {
			if killed[fault] == 0 {
				t.Errorf("%s: %s never happened", kind, fault)
			}
		}
		checkGone(t, img, "")
	}
}

// The same at random moments.
func TestJoinKill(t *testing.T) {
	for kind, img := range joinImages(t) {
		t.Run(kind, func(t *testing.T) {
			for size, rounds := range map[int]int{2: 60, 16: 20, 64: 4, 256: 2} {
				for range rounds {
					g := newGroup(t, img, size)
					span := launchTime + time.Duration(size)*launchTime/8
					victim, delay := rand.IntN(size), rand.N(span)
					for range size {
						g.start("")
					}
					time.Sleep(delay)
					_ = g.peers[victim].Process.Kill() // it may have ended
					if in := g.settled(); in < size-1 {
						t.Errorf("%d of %d peers in\n%s", in, size, g)
					}
					g.sweep()
				}
			}
		})
		checkGone(t, img, "")
	}
}

// When a peer dies after all have come, the others also clean up.
func TestJoinCleansUp(t *testing.T) {
	for kind, img := range joinImages(t) {
		t.Run(kind, func(t *testing.T) {
			t.Run("winner", func(t *testing.T) {
				for _, fault := range slices.Concat([]string{""}, faultsOfWinner, faultsOfAll) {
					completeGroup(t, img, 3, fault, "")
				}
			})
			t.Run("loser", func(t *testing.T) {
				for _, fault := range slices.Concat([]string{""}, faultsOfLoser, faultsOfAll) {
					completeGroup(t, img, 3, "", fault)
				}
			})
			t.Run("losers", func(t *testing.T) { // two, one after the other
				for _, fault := range slices.Concat(faultsOfLoser, faultsOfAll) {
					completeGroup(t, img, 4, "", fault, fault)
				}
			})
			t.Run("before", func(t *testing.T) { // the winner, before it has made the container, and then the next one
				g := newGroup(t, img, 4)
				winner := g.start("won=19")
				g.eventually("stopped", winner.stopped)
				g.start("won=9")
				g.start("won=9")
				g.start("")
				g.eventually("complete", func() bool { return g.arrived() == 4 })
				if err := winner.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				if in := g.settled(); in < 1 {
					t.Errorf("nobody is in:\n%s", g)
				}
				g.checkClean("the death of winners")
			})
		})
		checkGone(t, img, "")
	}
}

// completeGroup has peers meet of whom the winner and some losers have a fault, which happens when all have come.
func completeGroup(t *testing.T, img string, size int, ofWinner string, ofLosers ...string) {
	t.Helper()
	deadly := func(fault string) string {
		if fault == "" {
			return ""
		}
		return fault + "=9"
	}
	g := newGroup(t, img, size)
	winner := g.start("won=19," + deadly(ofWinner))
	g.eventually("stopped", winner.stopped)
	for i := range size - 1 {
		fault := ""
		if i < len(ofLosers) {
			fault = deadly(ofLosers[i])
		}
		g.start(fault)
	}
	g.eventually("complete", func() bool { return g.arrived() == size })
	if err := winner.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	faulty := 0
	for _, fault := range append(ofLosers, ofWinner) {
		if fault != "" {
			faulty++
		}
	}
	if in := g.settled(); in < size-faulty || faulty == 0 && in < size {
		t.Errorf("%q %q: %d of %d peers in\n%s", ofWinner, ofLosers, in, size, g)
	}
	g.checkClean(fmt.Sprintf("%q %q", ofWinner, ofLosers))
}

// What a group of which all were killed has left does not disturb the next one with that tag.
func TestJoinLeftovers(t *testing.T) {
	for kind, img := range joinImages(t) {
		t.Run(kind, func(t *testing.T) {
			for _, fault := range allFaults {
				dead := newGroup(t, img, 3) // of which the third never comes
				dead.start(fault + "=9")
				dead.start(fault + "=9")
				dead.settled()
				g := newGroup(t, img, 2)
				g.tag = dead.tag
				g.start("")
				g.start("")
				if in := g.settled(); in != 2 {
					t.Errorf("%s: %d of 2 peers in\n%s", fault, in, g)
				}
				g.checkClean(fault)
			}
		})
		checkGone(t, img, "")
	}
}

// A PID that leads to a container by the record may be another process's by now.
func TestJoinRecycledPID(t *testing.T) {
	img := image(t)
	dead := newGroup(t, img, 3)
	dead.start("")
	dead.start("")
	dead.settled()

	// struct record in internal/early/join.c: no handles, and a member with a PID that is in use.
	const handle, member = 48, 232
	object, err := os.OpenFile(dead.path(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = object.Close() }()
	var text [member + 16]byte
	if _, err := object.ReadAt(text[:], 0); err != nil {
		t.Fatal(err)
	}
	pid := binary.LittleEndian.Uint32(text[member:])
	if !slices.ContainsFunc(dead.peers, func(p *groupPeer) bool { return p.Process.Pid == int(pid) }) {
		t.Fatalf("PID %d is none of this group: is the record another?", pid)
	}
	stranger := newGroup(t, img, 1)
	stranger.start("")
	stranger.eventually("in", stranger.peers[0].in)
	binary.LittleEndian.PutUint32(text[member:], uint32(stranger.peers[0].Process.Pid))
	clear(text[handle : handle+144])
	if _, err := object.WriteAt(text[:], 0); err != nil {
		t.Fatal(err)
	}

	g := newGroup(t, img, 3)
	g.tag = dead.tag
	for range 3 {
		g.start("")
	}
	if in := g.settled(); in != 3 {
		t.Errorf("%d of 3 peers in\n%s", in, g)
	}
	mine, _, _ := strings.Cut(g.peers[0].stdout.String()[len("ready\n"):], "pid")
	stranger.settled()
	if strings.Contains(stranger.peers[0].stdout.String(), mine) {
		t.Errorf("they are in the container of a stranger")
	}
	g.checkClean("all")
}

// Peers beyond the number, and those that wait in vain, are told so.
func TestJoinMisfits(t *testing.T) {
	img := image(t)
	g := newGroup(t, img, 2)
	winner := g.start("won=19")
	g.eventually("stopped", winner.stopped)

	loser := g.start("", "--join-timeout=1")
	g.eventually("complete", func() bool { return g.arrived() == 2 })
	surplus := g.start("")
	want := "join: all 2 peers of group " + g.tag + " have come already (hint: "
	if how := surplus.how(); how != "31" || !strings.Contains(surplus.stderr.String(), want) {
		t.Errorf("%s: %s, want %s", how, surplus.stderr.String(), want)
	}
	want = fmt.Sprintf("join: timed out after 1 s: 2 of 2 peers came, the winner, PID %d, has not made the container (hint: ", winner.Process.Pid)
	if how := loser.how(); how != "31" || !strings.Contains(loser.stderr.String(), want) {
		t.Errorf("%s: %s, want %s", how, loser.stderr.String(), want)
	}
	if err := winner.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	g.peers = g.peers[:1]
	if in := g.settled(); in != 1 {
		t.Errorf("the winner is not in:\n%s", g)
	}
	g.checkClean("all")

	// One that is stopped while others cannot even arrive.
	g = newGroup(t, img, 3)
	first := g.start("taking=19")
	g.eventually("stopped", first.stopped)
	second := g.start("", "--join-timeout=1")
	want = fmt.Sprintf("join: timed out after 1 s: PID %d holds up all others (hint: ", first.Process.Pid)
	if how := second.how(); how != "31" || !strings.Contains(second.stderr.String(), want) {
		t.Errorf("%s: %s, want %s", how, second.stderr.String(), want)
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	g.peers = g.peers[:1]
	g.settled()
	g.sweep()
}

// A job that is suspended for longer than peers wait, and then resumed, goes on.
func TestJoinSuspended(t *testing.T) {
	img := image(t)
	g := newGroup(t, img, 2)
	winner := g.start("won=19")
	g.eventually("stopped", winner.stopped)
	loser := g.start("arrived=19", "--join-timeout=1")
	g.eventually("stopped", loser.stopped)
	time.Sleep(1500 * time.Millisecond)
	for _, p := range g.peers {
		if err := p.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	if in := g.settled(); in != 2 {
		t.Errorf("%d of 2 are in:\n%s", in, g)
	}
}

// Peers whose commands are over at once still are in one container, in which the last to come is too.
func TestJoinShortCommands(t *testing.T) {
	for kind, img := range joinImages(t) {
		for size, rounds := range map[int]int{2: 60, 3: 60, 8: 30, 32: 5} {
			for round := range rounds {
				var all sync.WaitGroup
				outputs := make([]string, size)
				for i := range size {
					all.Go(func() {
						cmd := chRun(fmt.Sprintf("--join-ct=%d", size), fmt.Sprintf("--join-tag=test-short-%d", os.Getpid()), img, "--", "/bin/probe", "namespaces")
						out, err := cmd.CombinedOutput()
						outputs[i] = fmt.Sprint(string(out), err)
					})
				}
				all.Wait()
				slices.Sort(outputs)
				if outputs = slices.Compact(outputs); len(outputs) != 1 || !strings.HasSuffix(outputs[0], "<nil>") {
					t.Fatalf("%s, %d peers, round %d: %q", kind, size, round, outputs)
				}
			}
		}
	}
}

// What cannot be opened is not taken for gone: nobody begins another container beside one that may be there.
func TestJoinDoubt(t *testing.T) {
	img := image(t)
	withProbe := func(p *groupPeer, settings ...string) {
		p.Args = append(append(append([]string{"probe", "with"}, settings...), "--", p.Path), p.Args[1:]...)
		p.Path = inputs + "/bin/probe"
	}
	t.Run("filter", func(t *testing.T) { // the winner, whose PID is known, has ended
		g := newGroup(t, img, 4)
		first := g.start("")
		g.start("")
		g.eventually("in", func() bool { return g.peers[0].in() && g.peers[1].in() })
		_ = first.Process.Kill() // or the other one, if that has won
		<-first.ended
		for range 2 {
			p := g.prepare("")
			withProbe(p, "deny=open_by_handle_at:1")
			g.run(p)
			want := "join: can't open the namespaces of the container of group " + g.tag + ": Operation not permitted (hint: "
			if how := p.how(); how == "31" && !strings.Contains(p.stderr.String(), want) {
				t.Errorf("%s: %s, want %s", how, p.stderr.String(), want)
			}
		}
		where := map[string]bool{}
		g.settledWith(func(p *groupPeer) bool { return p.how() == "31" })
		for _, p := range g.peers {
			if _, namespaces, ok := strings.Cut(p.stdout.String(), "\n"); ok && namespaces != "" {
				where[namespaces] = true
			}
		}
		if len(where) != 1 {
			t.Errorf("in %d containers\n%s", len(where), g)
		}
		g.sweep()
	})
	t.Run("on the way", func(t *testing.T) { // a loser is counted, but not in, and the winner has ended
		g := newGroup(t, img, 3)
		winner := g.prepare("won=19")
		withProbe(winner, "deny=name_to_handle_at")
		g.run(winner)
		g.eventually("stopped", winner.stopped)
		loser := g.start("left=19")
		if err := winner.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		g.eventually("stopped", loser.stopped)
		g.eventually("in", winner.in)
		_ = winner.Process.Kill()
		<-winner.ended
		g.start("")
		g.eventually("complete", func() bool { return g.arrived() == 3 || len(objects(g.tag)) == 0 })
		if err := loser.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		if in := g.settled(); in != 2 {
			t.Errorf("%d of 2 are in:\n%s", in, g)
		}
		g.checkClean("all")
	})
}

// Groups with different tags, and groups that follow each other with one, do not get into each other's way.
func TestJoinGroups(t *testing.T) {
	img := image(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			tag := fmt.Sprintf("test-groups-%d", i)
			for round := range 20 {
				g := newGroup(t, img, 1+(i+round)%5)
				g.tag = tag
				for range g.size {
					g.start("")
				}
				if in := g.settled(); in != g.size {
					t.Errorf("%s, round %d: %d of %d peers in\n%s", tag, round, in, g.size, g)
				}
				g.checkClean("all")
			}
		})
	}
	all.Wait()
}
