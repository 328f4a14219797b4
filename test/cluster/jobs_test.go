//go:build cluster

package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// submit submits an example with sbatch, waits for the job's end, and returns the output of its tasks, which go to files
// with that pattern in their names.
func submit(t *testing.T, example, pattern string, options ...string) string {
	t.Helper()
	name := filepath.Join(shared, "work", t.Name()+"-")
	args := slices.Concat([]string{"sbatch", "--parsable", "--output=" + name + pattern}, options,
		[]string{shared + "/examples/slurm/" + example, shared + "/openmpi.sqfs"})
	out, status := run(t, args...)
	job := strings.TrimSpace(out)
	err := the.await("job "+job+" ends", func() bool { // "sbatch --wait" looks every ten seconds only
		queue, err := the.command("squeue", "--noheader", "--jobs="+job).Output()
		return err != nil || len(queue) == 0
	})
	if err != nil {
		t.Fatal(err)
	}
	record, _ := run(t, "scontrol", "show", "job", job)
	if !strings.Contains(record, "JobState=COMPLETED") {
		t.Errorf("%s", record)
	}
	files, err := filepath.Glob(name + "*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no output; sbatch said %s", out)
	}
	var text strings.Builder
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(content)
	}
	if status != 0 {
		t.Errorf("sbatch: exit status %d:\n%s%s", status, out, text.String())
	}
	return text.String()
}

// lines returns the lines of an output that have a prefix, sorted.
func lines(output, prefix string) (list []string) {
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, prefix) {
			list = append(list, strings.TrimSpace(line))
		}
	}
	slices.Sort(list)
	return list
}

func TestBatchSteps(t *testing.T) {
	out := submit(t, "steps.sbatch", "%j")
	if got, want := lines(out, "prepared"), []string{"prepared n1", "prepared n2"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q:\n%s", got, want, out)
	}
	checkRanks(t, out, 4)
	if !strings.Contains(out, "collected by job steps\n") {
		t.Errorf("nothing was collected:\n%s", out)
	}
}

func TestArray(t *testing.T) {
	out := submit(t, "array.sbatch", "%A-%a")
	if got, want := lines(out, "part"), []string{"part 1 of 3", "part 2 of 3", "part 3 of 3"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q:\n%s", got, want, out)
	}
}

func TestSalloc(t *testing.T) {
	out, status := run(t, "salloc", "-Q", "-N2", "-n4", "srun", "--mpi=pmix", "ch-run", "--join", shared+"/openmpi.sqfs", "--", "hello")
	checkRanks(t, out, 4)
	if status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// mpirun on the host starts ranks in containers, of which those on a node share one.
func TestMpirunOutside(t *testing.T) {
	for _, form := range []string{"", ".sqfs"} {
		out, status := run(t, "mpirun", "--oversubscribe", "-n", "4", "ch-run", "--join", shared+"/openmpi"+form, "--", "sh", "-c", "hello; readlink /proc/self/ns/mnt")
		checkRanks(t, out, 4)
		if containers := slices.Compact(lines(out, "mnt:")); status != 0 || len(containers) != 1 {
			t.Errorf("exit status %d, in containers %q:\n%s", status, containers, out)
		}
	}
}

// mpirun in a container starts all ranks in there.
func TestMpirunInside(t *testing.T) {
	out, status := run(t, "ch-run", shared+"/openmpi.sqfs", "--", "mpirun", "--oversubscribe", "-n", "4", "hello")
	checkRanks(t, out, 4)
	if status != 0 {
		t.Errorf("exit status %d", status)
	}
	out, status = run(t, "ch-run", shared+"/mpich.sqfs", "--", "mpirun", "-n", "4", "hello")
	checkRanks(t, out, 4)
	if status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// A shell in a container, at a terminal.
func TestInteractive(t *testing.T) {
	cmd := the.command("script", "-qec", "srun --pty ch-run "+shared+"/openmpi.sqfs -- sh -i", "/dev/null")
	cmd.SysProcAttr.Setsid = true // what happens to that terminal is not to happen to ours
	cmd.Stdin = strings.NewReader("tty; echo $((6*7)) $SLURMD_NODENAME\nexit 3\n")
	out, status := runCommand(t, cmd)
	if status != 3 || !strings.Contains(out, "/dev/pts/") || !strings.Contains(out, "42 n") {
		t.Errorf("exit status %d:\n%s", status, out)
	}
}

// The components of a heterogeneous step are on nodes of their own, with numbers of tasks of their own.
func TestHeterogeneous(t *testing.T) {
	task := []string{"ch-run", "--join", shared + "/openmpi.sqfs", "--", "sh", "-c", "echo task $SLURM_PROCID $(readlink /proc/self/ns/mnt)"}
	out, status := run(t, slices.Concat([]string{"srun", "-N1", "-n1"}, task, []string{":", "-N1", "-n3"}, task)...)
	containers := map[string]int{}
	for _, line := range lines(out, "task") {
		containers[strings.Fields(line)[2]]++
	}
	var sizes []int
	for _, n := range containers {
		sizes = append(sizes, n)
	}
	slices.Sort(sizes)
	if status != 0 || !slices.Equal(sizes, []int{1, 3}) {
		t.Errorf("exit status %d, %v tasks in a container:\n%s", status, sizes, out)
	}
}

// Uneven numbers of tasks on the nodes.
func TestUneven(t *testing.T) {
	out, status := run(t, "srun", "-N2", "-n5", "ch-run", "--join", shared+"/openmpi.sqfs", "--", "sh", "-c", "echo on $SLURMD_NODENAME $(readlink /proc/self/ns/mnt)")
	if containers := slices.Compact(lines(out, "on")); status != 0 || len(containers) != 2 {
		t.Errorf("exit status %d, containers %q:\n%s", status, containers, out)
	}
	if left, _ := filepath.Glob("/dev/shm/*ch-run_*"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// Devices and variables of generic resources arrive. The "GPU" of this cluster is /dev/zero.
func TestGenericResources(t *testing.T) {
	out, status := run(t, "srun", "-n1", "--gres=gpu:1", "ch-run", shared+"/openmpi.sqfs", "--", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES $(head -c 5 /dev/zero | wc -c)")
	if status != 0 || out != "0 5\n" {
		t.Errorf("exit status %d:\n%s", status, out)
	}
	out, status = run(t, "srun", "-n1", "ch-run", shared+"/openmpi.sqfs", "--", "sh", "-c", "echo ${CUDA_VISIBLE_DEVICES-none}")
	if status != 0 || out != "none\n" {
		t.Errorf("exit status %d:\n%s", status, out)
	}
}

// What PMI and Slurm pass arrives in the container as it does without one.
func TestVariables(t *testing.T) {
	const script = `env | sed -n "s/^\(PMI[A-Z0-9_]*\|SLURM_[A-Z_]*\)=.*/\1/p" | sort; ls -l /proc/self/fd | sed -n "s/.* \([0-9]*\) -> socket.*/socket \1/p"`
	for _, mpi := range []string{"--mpi=pmix", "--mpi=pmi2"} {
		bare, _ := run(t, "srun", "-n1", mpi, "sh", "-c", script)
		for _, option := range []string{"--join", "--join-ct=1"} {
			out, status := run(t, "srun", "-n1", mpi, "ch-run", option, shared+"/openmpi.sqfs", "--", "sh", "-c", script)
			if status != 0 || out != bare || !strings.Contains(out, "PMI") {
				t.Errorf("%s: exit status %d, got:\n%s\nwithout a container:\n%s", mpi, status, out, bare)
			}
		}
	}
}

// As many tasks as a node has CPUs start and end cleanly.
func TestManyTasks(t *testing.T) {
	for _, option := range []string{"--join", "--no-passwd"} {
		out, status := run(t, "srun", "-N1", "-n128", "ch-run", option, shared+"/openmpi.sqfs", "--", "sh", "-c", "echo task $SLURM_PROCID")
		if got := len(slices.Compact(lines(out, "task"))); status != 0 || got != 128 {
			t.Errorf("exit status %d, %d tasks:\n%s", status, got, out)
		}
	}
	if left, _ := filepath.Glob("/dev/shm/*ch-run_*"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// Without --join, the ranks of a node are in containers of their own, and the first task says so.
func TestAdvice(t *testing.T) {
	out, status := run(t, "srun", "-N1", "-n4", "--mpi=pmix", "ch-run", shared+"/openmpi.sqfs", "--", "hello")
	checkRanks(t, out, 4)                                                                                                                      // Open MPI copes with that
	if want := fmt.Sprintf("warning: %d tasks of this step are in containers of their own", 4); status != 0 || strings.Count(out, want) != 2 { // once more at the end
		t.Errorf("exit status %d:\n%s", status, out)
	}
	out, status = run(t, "srun", "-N1", "-n4", "--mpi=pmi2", "ch-run", shared+"/mpich.sqfs", "--", "hello")
	if status == 0 { // should this succeed one day, the advice can be milder
		t.Errorf("MPICH needs no --join:\n%s", out)
	}
}
