package join

import (
	"strings"
	"testing"
)

func find(size int32, tag *string, variables string) (Group, error) {
	env := map[string]string{}
	for _, v := range strings.Fields(variables) {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	return Find(size, tag, Caller{Parent: 77, Variable: func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}})
}

func TestSize(t *testing.T) {
	for _, c := range []struct {
		option    int32
		variables string
		size      uint32
		from      string
	}{
		{3, "", 3, "command line"},
		{3, "OMPI_COMM_WORLD_LOCAL_SIZE=5", 3, "command line"},
		{0, "OMPI_COMM_WORLD_LOCAL_SIZE=5 SLURM_STEP_TASKS_PER_NODE=6", 5, "OMPI_COMM_WORLD_LOCAL_SIZE"},
		{0, "SLURM_STEP_TASKS_PER_NODE=6 SLURM_CPUS_ON_NODE=7", 6, "SLURM_STEP_TASKS_PER_NODE"},
		{0, "SLURM_CPUS_ON_NODE=7", 7, "SLURM_CPUS_ON_NODE"},
		{0, "SLURM_STEP_TASKS_PER_NODE=4(x2)", 4, "SLURM_STEP_TASKS_PER_NODE"},
		{0, "SLURM_STEP_TASKS_PER_NODE=4(x2),3", 4, "SLURM_STEP_TASKS_PER_NODE"}, // which node it is, is not known
		{0, "SLURM_STEP_TASKS_PER_NODE=4(x2),3 SLURM_NODEID=1", 4, "SLURM_STEP_TASKS_PER_NODE"},
		{0, "SLURM_STEP_TASKS_PER_NODE=4(x2),3 SLURM_NODEID=2", 3, "SLURM_STEP_TASKS_PER_NODE"},
		{0, "SLURM_STEP_TASKS_PER_NODE=2,4(x2),3(x10) SLURM_NODEID=12", 3, "SLURM_STEP_TASKS_PER_NODE"},
		{0, "SLURM_STEP_TASKS_PER_NODE=2,3 SLURM_NODEID=2", 2, "SLURM_STEP_TASKS_PER_NODE"},
	} {
		g, err := find(c.option, nil, c.variables)
		if err != nil || g.Size != c.size || g.SizeFrom != c.from {
			t.Errorf("--join-ct=%d, %s: got %+v, %v", c.option, c.variables, g, err)
		}
	}
}

func TestNoSize(t *testing.T) {
	for _, c := range []struct {
		option          int32
		variables, want string
	}{
		{0, "", "join: no valid peer group size found"},
		{-1, "SLURM_CPUS_ON_NODE=7", "join: no valid peer group size found"},
		{0, "SLURM_CPUS_ON_NODE=0", "join: no valid peer group size found"},
		{0, "OMPI_COMM_WORLD_LOCAL_SIZE= SLURM_CPUS_ON_NODE=7", "OMPI_COMM_WORLD_LOCAL_SIZE: no digits found"},
		{0, "SLURM_CPUS_ON_NODE=x7", "SLURM_CPUS_ON_NODE: no digits found: x7"},
		{0, "SLURM_CPUS_ON_NODE=2147483648", "SLURM_CPUS_ON_NODE: out of range: 2147483648"},
	} {
		if g, err := find(c.option, nil, c.variables); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("--join-ct=%d, %s: got %+v, %v, want %s", c.option, c.variables, g, err, c.want)
		}
	}
}

func TestTag(t *testing.T) {
	given := "given"
	for _, c := range []struct {
		option          *string
		variables       string
		wantTag, wantIs string
	}{
		{&given, "SLURM_STEP_ID=1", "given", "command line"},
		{nil, "", "77", "getppid(2)"},
		{nil, "SLURM_JOB_ID=5 SLURMD_NODENAME=n1", "77", "getppid(2)"},
		{nil, "SLURM_STEP_ID=", "77", "getppid(2)"},
		{nil, "SLURM_STEP_ID=0", "0", "SLURM_STEP_ID"},
		{nil, "SLURM_JOB_ID=5 SLURM_STEP_ID=0", "5.0", "SLURM_STEP_ID"},
		{nil, "SLURM_JOB_ID=5 SLURM_STEP_ID=0 SLURMD_NODENAME=n1", "5.0.n1", "SLURM_STEP_ID"},
		{nil, "SLURM_STEP_ID=0 SLURMD_NODENAME=n1", "0.n1", "SLURM_STEP_ID"},
	} {
		g, err := find(1, c.option, c.variables)
		if err != nil || g.Tag != c.wantTag || g.TagFrom != c.wantIs {
			t.Errorf("%s: got %+v, %v", c.variables, g, err)
		}
	}
	for tag, want := range map[string]string{
		"a/b":                    "join: peer group tag cannot contain '/': a/b",
		strings.Repeat("x", 241): "join: peer group tag is longer than 240 bytes",
	} {
		if g, err := find(1, &tag, ""); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %+v, %v", tag, g, err)
		}
	}
	longest := strings.Repeat("x", 240)
	if _, err := find(1, &longest, ""); err != nil {
		t.Error(err)
	}
}

func TestTasks(t *testing.T) {
	for variables, want := range map[string]int{
		"":                            0,
		"SLURM_STEP_TASKS_PER_NODE=4": 0, // not of a step
		"SLURM_STEP_ID=0":             0,
		"SLURM_STEP_ID=0 SLURM_STEP_TASKS_PER_NODE=4(x2)":                  4,
		"SLURM_STEP_ID=0 SLURM_STEP_TASKS_PER_NODE=4,1 SLURM_NODEID=1":     1,
		"SLURM_STEP_ID=0 SLURM_STEP_TASKS_PER_NODE=x SLURM_CPUS_ON_NODE=7": 0,
	} {
		env := map[string]string{}
		for _, v := range strings.Fields(variables) {
			name, value, _ := strings.Cut(v, "=")
			env[name] = value
		}
		c := Caller{Variable: func(name string) (string, bool) { value, ok := env[name]; return value, ok }}
		if got := c.Tasks(); got != want {
			t.Errorf("%s: got %d, want %d", variables, got, want)
		}
	}
}
