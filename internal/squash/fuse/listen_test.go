package fuse

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ch-run/internal/kernel"
	"ch-run/internal/squash"
)

// Whatever comes, and whatever takes long, somebody listens: each request is read.
func TestSomebodyListens(t *testing.T) {
	const workers, requests = 5, 20_000
	c, kernelSide := connected(t)
	read := make(chan struct{}, requests)
	var ended, done sync.WaitGroup
	c.listening.unwatch()
	for range workers {
		w := c.newWorker()
		ended.Go(func() {
			for {
				w.listen()
				n, err := w.next()
				if n == 0 || err != nil { // the other end is closed
					w.listening.end()
					return
				}
				w.arrived(request{opcode: uint32(w.buffer[0])})
				switch rand.N(20) {
				case 0:
					w.listening.letAll(rand.Int32N(20))
				case 1, 2, 3:
					w.listening.passOn()
					time.Sleep(rand.N(50 * time.Microsecond))
				case 4, 5, 6:
					if done.Add(1); !w.listening.help(done.Done) {
						done.Done()
					}
				}
				read <- struct{}{}
			}
		})
	}
	opcode := byte(opRead)
	for sent := 0; sent < requests; {
		burst := min(1+rand.IntN(3*workers), requests-sent)
		for range burst {
			if rand.N(15) == 0 {
				opcode ^= opRead ^ opLookup
			}
			if err := kernelSide.Send([]byte{opcode}); err != nil {
				t.Fatal(err)
			}
		}
		for range burst {
			select {
			case <-read:
			case <-time.After(10 * time.Second):
				t.Fatalf("a request was not read, of the first %d; %+v", sent+burst, c.listening)
			}
		}
		sent += burst
	}
	done.Wait()
	kernelSide.Close()
	ended.Wait()
	if l := c.listening; l.parked != 0 || l.waiting != workers { // each ends as one who waits
		t.Errorf("in the end %d are parked, and %d wait; want 0 and %d", l.parked, l.waiting, workers)
	}
}

// A worker that has to wait for somebody else's answer has a parked one listen.
func TestPassOn(t *testing.T) {
	c, kernelSide := connected(t)
	defer kernelSide.Close()
	c.listening.unwatch()
	var taken atomic.Int32
	second := make(chan struct{})
	for range 2 {
		w := c.newWorker()
		go func() {
			w.listen()
			_, _ = w.next()
			w.arrived(request{opcode: opLookup})
			if taken.Add(1) == 2 {
				close(second)
				return
			}
			w.listening.passOn()
			<-second
		}()
	}
	for parked := 0; parked == 0; time.Sleep(time.Millisecond) {
		c.listening.mu.Lock()
		parked = c.listening.parked
		c.listening.mu.Unlock()
	}
	for range 2 {
		if err := kernelSide.Send([]byte{opLookup}); err != nil {
			t.Fatal(err)
		}
		for taken.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	select {
	case <-second:
	case <-time.After(10 * time.Second):
		t.Error("nobody listens")
	}
}

// A parked worker does work for others and parks again, unless somebody was to listen in the meantime.
func TestHelp(t *testing.T) {
	for _, wanted := range []bool{false, true} {
		c, kernelSide := connected(t)
		l := c.listening
		l.unwatch()
		if l.help(nil) {
			t.Error("somebody helps where there is nobody")
		}
		l.mu.Lock()
		l.waiting, l.wanted = 1, false // somebody else listens
		l.mu.Unlock()
		listens := make(chan struct{})
		go func() {
			c.newWorker().listen()
			close(listens)
		}()
		parked := func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.parked == 1
		}
		waitFor(t, parked)
		l.taken()
		begun, end := make(chan struct{}), make(chan struct{})
		if !l.help(func() { close(begun); <-end }) {
			t.Fatal("nobody helps")
		}
		<-begun
		if wanted {
			l.passOn()
		}
		close(end)
		if !wanted {
			waitFor(t, parked)
			l.passOn()
		}
		select {
		case <-listens:
		case <-time.After(10 * time.Second):
			t.Errorf("wanted %t: nobody listens: %+v", wanted, l)
		}
		kernelSide.Close()
	}
}

// Once the image is unmounted nobody parks any more, whatever the others believe.
func TestEnd(t *testing.T) {
	c, kernelSide := connected(t)
	defer kernelSide.Close()
	l := c.listening
	l.waiting = 1 // who has heard of it does not say that it has gone
	var ended sync.WaitGroup
	ended.Go(func() { c.newWorker().listen() })
	waitFor(t, func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.parked == 1 })
	l.end()
	ended.Go(func() { c.newWorker().listen() })
	ended.Wait()
}

// waitFor waits until a condition holds.
func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	for begin := time.Now(); !condition(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			t.Fatal("waited in vain")
		}
	}
}

// connected returns a connection with a socket in place of the device, and the socket at its other end.
func connected(t *testing.T) (c *connection, kernelSide kernel.FD) {
	t.Helper()
	sockets, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET, 0)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = newConnection(-1); err != nil {
		t.Fatal(err)
	}
	c.device, c.image = kernel.FD(sockets[1]), &image{Reader: &squash.Reader{}}
	t.Cleanup(c.device.Close)
	return c, kernel.FD(sockets[0])
}

// Nobody polls where others wait for the processors, or nobody knows.
func TestLookAround(t *testing.T) {
	for text, quiet := range map[string]bool{"0.00 0.00 0.00 3/80 100\n": true, "0.00 0.00 0.00 4/80 100\n": false, "": false} {
		path := filepath.Join(t.TempDir(), "loadavg")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		load, err := kernel.OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		defer load.Close()
		l := &listening{processors: 4, load: load}
		l.quiet.Store(!quiet)
		now := time.Now()
		if l.lookAround(now); l.quiet.Load() != quiet {
			t.Errorf("%q: quiet is %t", text, !quiet)
		}
		l.load = -1
		if l.lookAround(now.Add(loadLasts / 2)); l.quiet.Load() != quiet {
			t.Errorf("%q: looked again too soon", text)
		}
		if l.lookAround(now.Add(2 * loadLasts)); l.quiet.Load() {
			t.Errorf("%q: quiet without a file to know it from", text)
		}
	}
}
