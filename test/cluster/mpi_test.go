//go:build cluster

package cluster

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// An image is one with an MPI library, as a directory or a file.
type image struct {
	library, form string
}

func images() (list []image) {
	for _, library := range []string{"openmpi", "mpich"} {
		for _, form := range []string{"", ".sqfs"} {
			list = append(list, image{library, form})
		}
	}
	return list
}

func (i image) String() string { return i.library + i.form }

func (i image) path() string { return shared + "/" + i.library + i.form }

func (i image) mpi() string {
	return map[string]string{"openmpi": "--mpi=pmix", "mpich": "--mpi=pmi2"}[i.library]
}

// checkRanks fails unless hello has printed the lines of so many ranks of one job.
func checkRanks(t *testing.T, output string, size int) {
	t.Helper()
	lines := regexp.MustCompile(`(?m)^rank (\d+) of (\d+)`).FindAllString(output, -1)
	slices.Sort(lines)
	var want []string
	for rank := range size {
		want = append(want, fmt.Sprintf("rank %d of %d", rank, size))
	}
	slices.Sort(want)
	if !slices.Equal(lines, want) {
		t.Errorf("got %q, want %q; all of it:\n%s", lines, want, output)
	}
}

// transport keeps MPICH's UCX on different nodes of the cluster from taking them for one machine, which they are: on
// a real cluster this is not needed.
func transport(nodes int) string {
	if nodes > 1 {
		return "UCX_TLS=tcp,self"
	}
	return "UCX_TLS=all"
}

// MPI programs find their peers, and send messages, on one node and on two.
func TestMPI(t *testing.T) {
	for _, i := range images() {
		for _, nodes := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s/%d", i, nodes), func(t *testing.T) {
				out, status := run(t, "env", transport(nodes), "srun", fmt.Sprintf("-N%d", nodes), "-n4", i.mpi(), "ch-run", "--join", i.path(), "--", "hello")
				checkRanks(t, out, 4)
				if status != 0 {
					t.Errorf("exit status %d", status)
				}
				out, status = run(t, "env", transport(nodes), "srun", fmt.Sprintf("-N%d", nodes), "-n2", i.mpi(), "ch-run", "--join", i.path(), "--", "pingpong")
				if status != 0 || strings.Count(out, "bytes:") != 6 {
					t.Errorf("pingpong: exit status %d:\n%s", status, out)
				}
			})
		}
	}
}

// With one rank on each node, nobody needs to share a container.
func TestMPIAlone(t *testing.T) {
	for _, i := range images() {
		out, status := run(t, "env", transport(2), "srun", "-N2", "-n2", "--ntasks-per-node=1", i.mpi(), "ch-run", i.path(), "--", "hello")
		checkRanks(t, out, 2)
		if status != 0 || strings.Contains(out, "ch-run[") {
			t.Errorf("%s: exit status %d:\n%s", i, status, out)
		}
	}
}

// Python does, with NumPy arrays.
func TestPython(t *testing.T) {
	out, status := run(t, "srun", "-N2", "-n3", "--mpi=pmix", "ch-run", "--join", shared+"/openmpi.sqfs", "--", "hello.py")
	if status != 0 || strings.Count(out, "of 3: [6.0, 6.0, 6.0]") != 3 {
		t.Errorf("exit status %d:\n%s", status, out)
	}
}
