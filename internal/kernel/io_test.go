package kernel

import (
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// Threads that do nothing but run are counted.
func TestRunnable(t *testing.T) {
	load, err := OpenFile("/proc/loadavg")
	if err != nil {
		t.Fatal(err)
	}
	defer load.Close()
	const threads = 5
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(threads + 1))
	var done atomic.Bool
	var started, ended sync.WaitGroup
	for range threads {
		started.Add(1)
		ended.Go(func() {
			runtime.LockOSThread()
			started.Done()
			for !done.Load() {
			}
		})
	}
	started.Wait()
	most := 0
	for range 1000 {
		n, err := load.Runnable()
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, n)
	}
	done.Store(true)
	ended.Wait()
	if most < threads {
		t.Errorf("%d threads can run, at most %d were counted", threads, most)
	}
}

func TestRunnableOfFile(t *testing.T) {
	for text, want := range map[string]int{
		"0.20 0.18 0.12 1/80 11206\n":     1,
		"99.20 80.18 70.12 1234/20000 99": 1234,
		"":                                -1,
		"0.20 0.18 0.12":                  -1,
		"0.20 0.18 x/5 1":                 -1,
	} {
		path := filepath.Join(t.TempDir(), "loadavg")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		fd, err := OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := fd.Runnable(); err == nil != (want >= 0) || err == nil && got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
		fd.Close()
	}
}

// Of those who wait as many go on as there are bytes.
func TestPipe(t *testing.T) {
	p, err := NewPipe()
	if err != nil {
		t.Fatal(err)
	}
	const all = 5
	taken := make(chan error, all)
	for range all {
		go func() { taken <- p.Take() }()
	}
	for _, n := range []int{0, 2, 1, all - 3} {
		p.Put(n)
		for range n {
			if err := <-taken; err != nil {
				t.Error(err)
			}
		}
		if p.read.HasInput() || len(taken) > 0 {
			t.Errorf("%d bytes were for more, or less", n)
		}
	}
}
