//go:build cluster

package cluster

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"
)

// BenchmarkTasks measures how long a step of 128 tasks on one node takes: bare, with Charliecloud's C ch-run, and with
// ours, from a SquashFS image. The medians are printed in milliseconds; "make cluster-bench" runs it. Each task sleeps,
// which is not counted: when the C program's winner ends before all tasks are in, the others fail.
func BenchmarkTasks(b *testing.B) {
	const peer = "/usr/bin/ch-run" // the C program, as Debian installs it
	if _, err := os.Stat(peer); err != nil {
		b.Fatalf("%v: install the Debian package charliecloud-runtime", err)
	}
	const asleep = 500 * time.Millisecond
	image := shared + "/openmpi.sqfs"
	contestants := []struct {
		name string
		argv []string
	}{
		{"bare-ms", nil},
		{"C-join-ms", []string{peer, "--join", image, "--"}},
		{"join-ms", []string{"ch-run", "--join", image, "--"}},
		{"alone-ms", []string{"ch-run", "--join-ct=1", image, "--"}},
	}
	times := make([][]time.Duration, len(contestants))
	for range b.N {
		for _, i := range rand.Perm(len(contestants)) {
			cmd := the.command(slices.Concat([]string{"srun", "-N1", "-n128", "--acctg-freq=0"}, contestants[i].argv, []string{"/bin/sleep", fmt.Sprint(asleep.Seconds())})...)
			begin := time.Now()
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("%q: %v\n%s", cmd.Args, err, out)
			}
			times[i] = append(times[i], time.Since(begin)-asleep)
		}
	}
	for i, c := range contestants {
		slices.Sort(times[i])
		b.ReportMetric(times[i][len(times[i])/2].Seconds()*1e3, c.name)
	}
	b.ReportMetric(0, "ns/op") // of all together, which says nothing
}
