//go:build cluster

package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// start starts a command of the user, with its output in a file.
func start(t *testing.T, argv ...string) (cmd *exec.Cmd, output func() string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "output")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	cmd = the.command(argv...)
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, func() string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
}

// await waits until the output has a match, and returns it.
func await(t *testing.T, output func() string, expression string) string {
	t.Helper()
	pattern := regexp.MustCompile(expression)
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if match := pattern.FindString(output()); match != "" {
			return match
		}
	}
	t.Fatalf("never %s in:\n%s\n%s", expression, output(), the.logs())
	return ""
}

// ends waits for the end of a command, and returns its exit status.
func ends(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	timer := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	_ = cmd.Wait() // see the status
	return cmd.ProcessState.ExitCode()
}

// servers returns the PIDs of the processes that serve images of the cluster.
func servers() (pids []int) {
	names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err == nil && strings.HasPrefix(string(text), "ch-run: squashfs server "+shared) {
			pid, _ := strconv.Atoi(strings.Split(name, "/")[2])
			pids = append(pids, pid)
		}
	}
	return pids
}

// checkNothingLeft fails if anything of a container outlives the job.
func checkNothingLeft(t *testing.T) {
	t.Helper()
	var left []string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		left, _ = filepath.Glob("/dev/shm/*ch-run_*")
		for _, pid := range slices.Concat(servers(), the.processes()) {
			left = append(left, fmt.Sprint(pid))
		}
		if len(left) == 0 {
			return
		}
	}
	t.Errorf("left: %q", left)
}

// The exit status of the application is that of srun, and in the records of Slurm; so is the signal that killed it.
func TestStatus(t *testing.T) {
	for command, want := range map[string]struct {
		status int
		record string // ExitCode of the job, STATUS:SIGNAL
	}{
		"exit 0":         {0, "0:0"},
		"exit 7":         {7, "7:0"},
		"kill -SEGV $$":  {139, "0:11"},
		"kill -KILL $$":  {137, "0:9"},
		"exec /nonsense": {127, "127:0"},
	} {
		out, status := run(t, "srun", "-n1", "ch-run", shared+"/openmpi.sqfs", "--", "sh", "-c", "echo job $SLURM_JOB_ID; "+command)
		if status != want.status {
			t.Errorf("%s: exit status %d, want %d:\n%s", command, status, want.status, out)
		}
		job := regexp.MustCompile(`(?m)^job (\d+)$`).FindStringSubmatch(out)
		if job == nil {
			t.Fatalf("%s: %s", command, out)
		}
		record := accounted(t, job[1]+".0", "ExitCode", func(value string) bool { return value == want.record })
		if record != want.record {
			t.Errorf("%s: sacct has %s, want %s", command, record, want.record)
		}
	}
	// Of ch-run itself.
	if out, status := run(t, "srun", "-n1", "ch-run", shared+"/nonsense", "--", "true"); status != 31 {
		t.Errorf("exit status %d:\n%s", status, out)
	}
	if out, status := run(t, "srun", "-n1", "ch-run", shared+"/openmpi.sqfs", "--", "nonsense"); status != 49 {
		t.Errorf("exit status %d:\n%s", status, out)
	}
	checkNothingLeft(t)
}

// accounted returns what Slurm's accounting has of a step that has ended, once that is good, or if it never is what there
// is: a job may be recorded as ended, and its steps with it, before what the node has to say of them has come.
func accounted(t *testing.T, step, field string, good func(value string) bool) (value string) {
	t.Helper()
	err := the.await("step "+step+" is accounted for", func() bool {
		out, err := the.command("sacct", "--units=K", "--noheader", "--parsable2", "--jobs="+step, "--format=End,"+field).Output()
		end, rest, _ := strings.Cut(strings.TrimSpace(string(out)), "|")
		if err != nil || end == "" || end == "Unknown" { // what was used comes after the end
			return false
		}
		value = rest
		return good(value)
	})
	if err != nil && value == "" {
		t.Fatal(err)
	}
	return value
}

// Accounting sees the application, and what it uses: here memory, in a process that was started as ch-run.
func TestAccounting(t *testing.T) {
	out, status := run(t, "srun", "-n1", "ch-run", shared+"/openmpi.sqfs", "--", "python3", "-c",
		"import os, time; print('job', os.environ['SLURM_JOB_ID'], flush=True); x = bytearray(200 << 20); time.sleep(3)")
	job := regexp.MustCompile(`(?m)^job (\d+)$`).FindStringSubmatch(out)
	if status != 0 || job == nil {
		t.Fatalf("exit status %d:\n%s", status, out)
	}
	plausible := func(value string) bool {
		var kilobytes int
		_, err := fmt.Sscanf(value, "%dK", &kilobytes)
		return err == nil && 200<<10 <= kilobytes && kilobytes <= 400<<10
	}
	if used := accounted(t, job[1]+".0", "MaxRSS", plausible); !plausible(used) {
		t.Errorf("MaxRSS: %s", used)
	}
}

// handler is an application that on a signal reads its image and ends.
const handler = `trap 'echo "caught, $(sed -n "s/^ID=//p" /etc/os-release)"; exit 5' %s; echo job $SLURM_JOB_ID; while :; do sleep 0.05; done`

// Signals by which Slurm ends jobs, or tells them something, reach the application, which can still read its image.
func TestSignals(t *testing.T) {
	for name, c := range map[string]struct {
		trap   string
		cancel []string
		status []int // of srun, which may be killed too
	}{
		"TERM": {"TERM", nil, []int{5, 143, 15}},
		"USR1": {"USR1", []string{"--signal=USR1"}, []int{5}},
	} {
		t.Run(name, func(t *testing.T) {
			srun, output := start(t, "srun", "-N2", "-n4", "ch-run", "--join", shared+"/openmpi.sqfs", "--", "sh", "-c", fmt.Sprintf(handler, c.trap))
			await(t, output, `(?s)(job \d+\n.*){4}`)
			job := strings.Fields(await(t, output, `job \d+`))[1]
			run(t, slices.Concat([]string{"scancel"}, c.cancel, []string{job})...)
			if status := ends(t, srun); !slices.Contains(c.status, status) {
				t.Errorf("exit status %d:\n%s", status, output())
			}
			if got := strings.Count(output(), "caught, debian\n"); got != 4 {
				t.Errorf("%d of 4 caught the signal:\n%s", got, output())
			}
			checkNothingLeft(t)
		})
	}
	t.Run("KILL", func(t *testing.T) { // of an application that does not listen
		deaf := []string{"sh", "-c", "trap '' TERM; echo job $SLURM_JOB_ID; while :; do sleep 0.05; done"}
		var statuses []int
		for _, launcher := range [][]string{nil, {"ch-run", "--join", shared + "/openmpi.sqfs", "--"}} {
			srun, output := start(t, slices.Concat([]string{"srun", "-N2", "-n4"}, launcher, deaf)...)
			await(t, output, `(?s)(job \d+\n.*){4}`)
			run(t, "scancel", strings.Fields(await(t, output, `job \d+`))[1])
			statuses = append(statuses, ends(t, srun))
		}
		if statuses[0] != statuses[1] {
			t.Errorf("exit status %d, and without a container %d", statuses[1], statuses[0])
		}
		checkNothingLeft(t)
	})
}

// When the server of an image is killed, its tasks end with errors, and the step with them: nothing waits for it. They can
// go on with what they have read before, so each reads something new.
func TestServerDies(t *testing.T) {
	dead := filepath.Join(shared, "work", t.Name())
	srun, output := start(t, "srun", "-N1", "-n4", "ch-run", "--join", "-b", filepath.Dir(dead)+":/mnt", shared+"/openmpi.sqfs", "--", "sh", "-c",
		"echo job $SLURM_JOB_ID; until test -e /mnt/"+filepath.Base(dead)+"; do sleep 0.05; done; cat /usr/bin/mpirun >/dev/null || exit 6")
	await(t, output, `(?s)(job \d+\n.*){4}`)
	pids := servers()
	if len(pids) != 1 {
		t.Errorf("servers %v, want one", pids)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
	if err := os.WriteFile(dead, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if status := ends(t, srun); status == 0 || !strings.Contains(output(), "Transport endpoint is not connected") && !strings.Contains(output(), "Exited with exit code") {
		t.Errorf("exit status %d:\n%s", status, output())
	}
	checkNothingLeft(t)
}

// A batch job saves its work when it is told that time is nearly up.
func TestSignalExample(t *testing.T) {
	name := filepath.Join(shared, "work", t.Name())
	out, _ := run(t, "sbatch", "--parsable", "--output="+name, shared+"/examples/slurm/signal.sbatch", shared+"/openmpi.sqfs")
	read := func() string { text, _ := os.ReadFile(name); return string(text) } // "" at first
	await(t, read, "working\n")
	run(t, "scancel", "--signal=USR1", strings.TrimSpace(out))
	await(t, read, "saved\n")
	checkNothingLeft(t)
}

// When one task fails, the others are ended, if that is asked for.
func TestKillOnBadExit(t *testing.T) {
	out, status := run(t, "srun", "-N2", "-n4", "--kill-on-bad-exit=1", "ch-run", "--join", shared+"/openmpi.sqfs", "--", "sh", "-c", "[ $SLURM_PROCID != 2 ] || exit 9; sleep 50")
	if status == 0 {
		t.Errorf("exit status %d:\n%s", status, out)
	}
	checkNothingLeft(t)
}

// A job that takes longer than it may is ended: by TERM, which it can catch, and then by KILL. The shortest limit that
// Slurm knows is a minute, so the job has been running since the tests began: see startLongJob.
func TestTimeLimit(t *testing.T) {
	output := func() string {
		text, err := os.ReadFile(long.output)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if status := ends(t, long.Cmd); status == 0 || !strings.Contains(output(), "caught, debian\n") {
		t.Errorf("exit status %d:\n%s", status, output())
	}
	long.Cmd = nil
	checkNothingLeft(t)
}

// long is a job that runs into its limit of time while other tests run. Its environment has a mark, and its image another
// name, by which what belongs to it is known.
var long struct {
	*exec.Cmd
	output string
}

const longMark = "CH_RUN_CLUSTER_LONG=1"

func startLongJob(dir string) error {
	image := filepath.Join(dir, "long.sqfs")
	if err := os.Link(filepath.Join(shared, "openmpi.sqfs"), image); err != nil {
		return err
	}
	long.output = filepath.Join(dir, "long.output")
	file, err := os.Create(long.output)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	long.Cmd = the.command("srun", "-n1", "--time=1", "ch-run", image, "--", "sh", "-c", fmt.Sprintf(handler, "TERM"))
	long.Env = append(long.Env, longMark)
	long.Stdout, long.Stderr = file, file
	return long.Start()
}

// When the Slurm daemon of a node dies and comes back, its job goes on, and leaves nothing.
func TestNodeFailure(t *testing.T) {
	srun, output := start(t, "srun", "-w", "n2", "-n2", "ch-run", "--join", shared+"/openmpi.sqfs", "--", "sh", "-c", fmt.Sprintf(handler, "TERM"))
	await(t, output, `(?s)(job \d+\n.*){2}`)
	job := strings.Fields(await(t, output, `job \d+`))[1]
	node := the.daemons[len(the.daemons)-1]
	if err := node.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-node.ended
	the.daemons = the.daemons[:len(the.daemons)-1]
	if err := the.daemon("slurmd.n2", nil, "slurmd", "-D", "-N", "n2"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	run(t, "scancel", job)
	ends(t, srun)
	if got := strings.Count(output(), "caught, debian\n"); got != 2 {
		t.Errorf("%d of 2 caught the signal:\n%s", got, output())
	}
	checkNothingLeft(t)
}
