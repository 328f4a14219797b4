package early

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"ch-run/internal/cli"
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

// TestScanLeavesJoining has what must not get namespaces of its own: a peer enters those of another.
func TestScanLeavesJoining(t *testing.T) {
	for _, line := range []string{
		"-j img ls",
		"-vj img ls",
		"-jv img ls",
		"img -j ls",
		"img -j -- ls",
		"-W -j img ls",
		"--join img ls",
		"--joi img ls",
		"--j img ls",
		"img --join -- ls",
		"--join-ct=2 img ls",
		"--join-ct 2 img ls",
		"--join-tag=x img ls",
		"--join-tag x img ls",
		"--join-pid=1 img ls",
		"--join-pid 1 img ls",
		"--join-p=1 img ls",
		"-b /x --join img -w ls",
	} {
		if scan(strings.Fields("ch-run " + line)) {
			t.Errorf("ch-run %s: taken for a launch in namespaces of its own", line)
		}
	}
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
