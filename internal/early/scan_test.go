package early

import (
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"ch-run/internal/cli"
	"ch-run/internal/join"
)

// TestScanRecognisesLaunches has every option in every full spelling. What the parser takes for a launch
// and the constructor does not is started twice, which costs milliseconds.
func TestScanRecognisesLaunches(t *testing.T) {
	for _, words := range fullSpellings() {
		for _, line := range [][]string{
			append(append([]string{}, words...), "img", "ls"),
			append(append([]string{"img"}, words...), "--", "ls"),
			append(append([]string{"-v"}, words...), "img", "--", "ls", "--help"),
		} {
			check(t, line)
			if isLaunch(line) && !scan(append([]string{"ch-run"}, line...)) {
				t.Errorf("ch-run %s: a launch, not recognised", strings.Join(line, " "))
			}
		}
	}
}

func TestScanRecognisesNothingElse(t *testing.T) {
	full := fullSpellings()
	odd := [][]string{{"img"}, {"ls"}, {"-"}, {"--"}, {"-b"}, {"-Z"}, {"-vZ"}, {"-é"}, {"--nonsense"}, {"---"}, {"--=1"}, {"-v-"}, {"-j"}, {"--join-pid=1"}}
	for _, o := range cli.Table() {
		for i := range len(o.Long) {
			odd = append(odd, []string{"--" + o.Long[:i]}, []string{"--" + o.Long[:i] + "=1"})
		}
		odd = append(odd, []string{"--" + o.Long + "="}, []string{"--" + o.Long + "x"})
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		var line []string
		for range random.IntN(6) {
			list := full
			if random.IntN(3) == 0 {
				list = odd
			}
			line = append(line, list[random.IntN(len(list))]...)
		}
		check(t, line)
		check(t, append(line, "img", "ls"))
	}
}

// TestScanFindsGroups has peers, in surroundings of which the group's size and tag are taken. The constructor finds
// the same group as the Go code or, where it is not plain, none.
func TestScanFindsGroups(t *testing.T) {
	const plain, involved, wrong = "plain", "involved", "wrong"
	surroundings := []struct{ variables, kind string }{
		{"", wrong}, // no size
		{"SLURM_CPUS_ON_NODE=3", plain},
		{"SLURM_STEP_TASKS_PER_NODE=4(x2) SLURM_CPUS_ON_NODE=3", plain},
		{"OMPI_COMM_WORLD_LOCAL_SIZE=5 SLURM_STEP_TASKS_PER_NODE=x", plain},
		{"SLURM_STEP_TASKS_PER_NODE=4(x2),3 SLURM_NODEID=2", involved},
		{"SLURM_STEP_TASKS_PER_NODE=4,3", involved},
		{"SLURM_STEP_TASKS_PER_NODE= SLURM_CPUS_ON_NODE=3", wrong},
		{"SLURM_STEP_TASKS_PER_NODE=0 SLURM_CPUS_ON_NODE=3", wrong},
		{"SLURM_STEP_TASKS_PER_NODE=12345678901", wrong},
		{"SLURM_CPUS_ON_NODE=3 SLURM_JOB_ID=7 SLURM_STEP_ID=8 SLURMD_NODENAME=n9", plain},
		{"SLURM_CPUS_ON_NODE=3 SLURM_JOB_ID=7 SLURM_STEP_ID=8", plain},
		{"SLURM_CPUS_ON_NODE=3 SLURM_STEP_ID=8 SLURMD_NODENAME=", plain},
		{"SLURM_CPUS_ON_NODE=3 SLURM_JOB_ID=7 SLURM_STEP_ID= SLURMD_NODENAME=n9", plain},
		{"SLURM_CPUS_ON_NODE=3 SLURM_STEP_ID=8 SLURMD_NODENAME=a/b", wrong},
		{"SLURM_CPUS_ON_NODE=3 SLURM_STEP_ID=8 SLURMD_NODENAME=" + strings.Repeat("n", 239), wrong},
		{"SLURM_CPUS_ON_NODE=3 SLURM_STEP_ID=8 SLURMD_NODENAME=" + strings.Repeat("n", 238), plain},
	}
	names := []string{"SLURM_CPUS_ON_NODE", "SLURM_STEP_TASKS_PER_NODE", "OMPI_COMM_WORLD_LOCAL_SIZE", "SLURM_NODEID", "SLURM_JOB_ID", "SLURM_STEP_ID", "SLURMD_NODENAME"}
	lines := map[string]string{
		"-j img ls":                            plain,
		"-vj img ls":                           plain,
		"img -jt -- ls --join-ct=2":            plain,
		"--join img ls":                        plain,
		"-j -W --join -b /x -c /y img -w ls":   plain,
		"--join-ct=2 img ls":                   plain,
		"--join-ct 2 img ls":                   plain,
		"img --join-ct=007 --join-tag=x -- ls": plain,
		"--join-tag=x img ls":                  plain,
		"--join-tag x img ls":                  plain,
		"-j --join-timeout=9 img ls":           plain,
		"-j --join-timeout 9 img ls":           plain,
		"--join-pid=1 img ls":                  plain,
		"--join-pid 12 -j img ls":              plain,
		"-j --join-ct=2 --join-ct=3 img ls":    plain,
		"--joi img ls":                         wrong,    // ambiguous
		"-j --join-ct=0 img ls":                involved, // taken as not given
		"--join-c=2 img ls":                    involved,
		"--join-p=1 img ls":                    involved,
		"-j --join-ct=+2 img ls":               involved,
		"-j --join-ct=-2 img ls":               wrong,
		"-j --join-ct=x img ls":                wrong,
		"-j --join-ct= img ls":                 wrong,
		"-j --join-ct=2147483648 img ls":       wrong,
		"-j --join-ct=2x img ls":               wrong,
		"--join-tag= img ls":                   wrong,
		"--join-tag=a/b img ls":                wrong,
		"--join-pid=0 img ls":                  wrong,
		"--join-pid=x img ls":                  wrong,
		"-j --join-timeout=0 img ls":           wrong,
		"--join=1 img ls":                      wrong,
		"-j img":                               wrong,
		"-j --join-ct":                         wrong,
		"--j img ls":                           wrong,
	}
	for _, around := range surroundings {
		for _, name := range names {
			t.Setenv(name, "") // to be restored
			_ = os.Unsetenv(name)
		}
		for _, v := range strings.Fields(around.variables) {
			name, value, _ := strings.Cut(v, "=")
			t.Setenv(name, value)
		}
		for line, kind := range lines {
			args := strings.Fields(line)
			got, found := scanGroup(append([]string{"ch-run"}, args...))
			want, err := parseGroup(args)
			independent := strings.Contains(line, "-pid")
			switch {
			case found && (err != nil || got != want):
				t.Errorf("%s: %s: found %+v, want %+v, %v", around.variables, line, got, want, err)
			case !found && kind == plain && (around.kind == plain || independent):
				t.Errorf("%s: %s: not found", around.variables, line)
			case kind == wrong && err == nil, kind != wrong && around.kind != wrong && err != nil:
				t.Errorf("%s: %s: %v", around.variables, line, err)
			}
			if scan(append([]string{"ch-run"}, args...)) {
				t.Errorf("%s: taken for a launch in namespaces of its own", line)
			}
		}
	}
}

// parseGroup is what the Go code makes of a command line.
func parseGroup(args []string) (g Group, err error) {
	o, err := cli.Parse(args)
	if err != nil {
		return g, err
	}
	g = Group{Timeout: DefaultTimeout, PID: o.JoinPID}
	if o.JoinTimeout != nil {
		g.Timeout = *o.JoinTimeout
	}
	if o.JoinPID == 0 {
		var peers join.Group
		peers, err = join.Find(o.JoinSize, o.JoinTag, join.Caller{Variable: os.LookupEnv, Parent: os.Getppid()})
		g.Size, g.Tag = peers.Size, peers.Tag
	}
	return g, err
}

// fullSpellings returns each option, with its argument, in each form but abbreviated.
func fullSpellings() (list [][]string) {
	for _, o := range cli.Table() {
		if strings.HasPrefix(o.Long, "join") {
			continue
		}
		if o.Argument == "" || o.Optional {
			list = append(list, []string{"--" + o.Long})
		}
		if o.Argument != "" {
			list = append(list, []string{"--" + o.Long + "=1"})
		}
		if o.Argument != "" && !o.Optional {
			list = append(list, []string{"--" + o.Long, "1"}, []string{"--" + o.Long, "--"})
		}
		if o.Short == 0 {
			continue
		}
		for _, short := range []string{"-" + string(o.Short), "-t" + string(o.Short)} {
			switch {
			case o.Argument == "":
				list = append(list, []string{short}, []string{short + "t"})
			case o.Optional:
				list = append(list, []string{short}, []string{short + "1"})
			default:
				list = append(list, []string{short + "1"}, []string{short, "1"}, []string{short, "-t"})
			}
		}
	}
	return list
}

func isLaunch(line []string) bool {
	o, err := cli.Parse(line)
	return err == nil && o.Task == cli.TaskNone
}

// check reports a line that the constructor takes for a launch and the parser does not, unless that is
// because of what an argument says or because nothing follows the options.
func check(t *testing.T, line []string) {
	t.Helper()
	if !scan(append([]string{"ch-run"}, line...)) {
		return
	}
	o, err := cli.Parse(line)
	var usage cli.UsageError
	var text cli.TextRequest
	if errors.As(err, &usage) || errors.As(err, &text) || o != nil && o.Task != cli.TaskNone {
		t.Errorf("ch-run %s: taken for a launch, but: %+v, %v", strings.Join(line, " "), o, err)
	}
}
