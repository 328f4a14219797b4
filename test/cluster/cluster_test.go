//go:build cluster

package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"
)

// A cluster is a Slurm with nodes n1, n2 and so on, all of them on this machine.
type cluster struct {
	dir     string // everything of it is below
	nodes   []node
	user    account // whose jobs run
	daemons []*daemon
}

type node struct {
	Name string
	Port int
}

type account struct {
	name     string
	uid, gid int
}

// A daemon is a process of the cluster.
type daemon struct {
	*exec.Cmd
	ended chan struct{}
}

// configuration is slurm.conf(5). What matters:
//   - proctrack/linuxproc and task/none need no cgroups;
//   - config_overrides lets a node have more CPUs than there are;
//   - TmpFS of each node's own, as PMIx servers of different nodes use the same names in it;
//   - MpiDefault=none, so that jobs say which MPI they mean.
var configuration = template.Must(template.New("").Parse(`
ClusterName=test
SlurmctldHost={{.Host}}(127.0.0.1)
SlurmctldPort={{.Port}}
AuthType=auth/munge
AuthInfo=socket={{.Dir}}/munge/socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=10
KillWait=2
OverTimeLimit=0
MessageTimeout=60
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={{.AccountingPort}}
AccountingStoragePass={{.Dir}}/munge/socket
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
StateSaveLocation={{.Dir}}/state
SlurmdSpoolDir={{.Dir}}/spool/%n
SlurmctldPidFile={{.Dir}}/slurmctld.pid
SlurmdPidFile={{.Dir}}/slurmd.%n.pid
TmpFS={{.Dir}}/tmp/%n
GresTypes=gpu
{{range .Nodes}}NodeName={{.Name}} NodeHostname={{$.Host}} NodeAddr=127.0.0.1 Port={{.Port}} CPUs=128 RealMemory=4000 Gres=gpu:1
{{end}}PartitionName=all Nodes=ALL Default=YES State=UP MaxTime=INFINITE
`))

// accountingConfiguration is slurmdbd.conf(5), for a database without users.
var accountingConfiguration = template.Must(template.New("").Parse(`
AuthType=auth/munge
AuthInfo=socket={{.Dir}}/munge/socket
DbdHost={{.Host}}
DbdAddr=127.0.0.1
DbdPort={{.AccountingPort}}
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={{.DatabasePort}}
StorageUser=root
PidFile={{.Dir}}/slurmdbd.pid
`))

// gresConfiguration is gres.conf(5): each node has a "GPU", which is a device that every machine has.
const gresConfiguration = "Name=gpu File=/dev/zero\n"

// startCluster brings up a cluster for the user in a directory that does not exist.
func startCluster(dir string, nodes int, who account) (c *cluster, err error) {
	c = &cluster{dir: dir, user: who}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.stop())
		}
	}()
	for _, d := range []string{"", "munge", "state", "spool", "tmp", "log"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			return c, err
		}
	}
	ports, err := freePorts(nodes + 3)
	if err != nil {
		return c, err
	}
	for i := range nodes {
		n := node{fmt.Sprintf("n%d", i+1), ports[i+3]}
		c.nodes = append(c.nodes, n)
		for _, d := range []string{"spool", "tmp"} {
			if err := os.Mkdir(filepath.Join(dir, d, n.Name), 0o755); err != nil {
				return c, err
			}
		}
		if err := os.Chmod(filepath.Join(dir, "tmp", n.Name), 0o777|os.ModeSticky); err != nil {
			return c, err
		}
	}
	host, err := os.Hostname()
	if err != nil {
		return c, err
	}
	host, _, _ = strings.Cut(host, ".")
	settings := map[string]any{"Host": host, "Port": ports[0], "AccountingPort": ports[1], "DatabasePort": ports[2], "Dir": dir, "Nodes": c.nodes}
	if err := c.configure(settings); err != nil {
		return c, err
	}
	if err := c.startMunge(); err != nil {
		return c, err
	}
	if err := c.startAccounting(ports[2]); err != nil {
		return c, err
	}
	if err := c.daemon("slurmctld", nil, "slurmctld", "-D"); err != nil {
		return c, err
	}
	for _, n := range c.nodes {
		if err := c.daemon("slurmd."+n.Name, nil, "slurmd", "-D", "-N", n.Name); err != nil {
			return c, err
		}
	}
	return c, c.await("all nodes are idle", func() bool {
		states, err := c.command("sinfo", "--noheader", "--Node", "--format=%t").Output()
		return err == nil && strings.Count(string(states), "idle") == nodes
	})
}

// configure writes the configuration files.
func (c *cluster) configure(settings map[string]any) error {
	var main, accounting bytes.Buffer
	if err := errors.Join(configuration.Execute(&main, settings), accountingConfiguration.Execute(&accounting, settings)); err != nil {
		return err
	}
	for _, f := range []struct {
		name, text string
		mode       os.FileMode
	}{
		{"slurm.conf", main.String(), 0o644},
		{"slurmdbd.conf", accounting.String(), 0o600}, // slurmdbd insists
		{"gres.conf", gresConfiguration, 0o644},
	} {
		if err := os.WriteFile(filepath.Join(c.dir, f.name), []byte(f.text), f.mode); err != nil {
			return err
		}
	}
	return nil
}

// startAccounting starts a database, for everybody on this machine, and the daemon that keeps the records of jobs
// in it.
func (c *cluster) startAccounting(port int) error {
	data := filepath.Join(c.dir, "database")
	install := exec.Command("mariadb-install-db", "--no-defaults", "--user=root", "--datadir="+data, "--skip-test-db", "--auth-root-authentication-method=normal")
	if output, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("mariadb-install-db: %w: install the Debian package mariadb-server\n%s", err, output)
	}
	err := c.daemon("mariadbd", nil, "mariadbd", "--no-defaults", "--user=root", "--datadir="+data, "--socket="+data+"/socket", "--bind-address=127.0.0.1",
		fmt.Sprintf("--port=%d", port), "--skip-grant-tables", "--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900")
	if err != nil {
		return err
	}
	err = c.await("the database answers", func() bool {
		return exec.Command("mariadb", "--no-defaults", "--socket="+data+"/socket", "--execute=SELECT 1").Run() == nil
	})
	if err != nil {
		return err
	}
	if err := c.daemon("slurmdbd", nil, "slurmdbd", "-D"); err != nil {
		return err
	}
	return c.await("accounting knows the cluster", func() bool {
		cmd := exec.Command("sacctmgr", "--immediate", "add", "cluster", "test")
		cmd.Env = append(os.Environ(), "SLURM_CONF="+filepath.Join(c.dir, "slurm.conf"))
		output, err := cmd.CombinedOutput()
		return err == nil || bytes.Contains(output, []byte("already exists"))
	})
}

// startMunge starts the daemon that says who is who, with a key of the cluster's own.
func (c *cluster) startMunge() error {
	u, err := user.Lookup("munge")
	if err != nil {
		return fmt.Errorf("%w: install the Debian package munge", err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return err
	}
	at := func(name string) string { return filepath.Join(c.dir, "munge", name) }
	if output, err := exec.Command("dd", "if=/dev/urandom", "of="+at("key"), "bs=1024", "count=1").CombinedOutput(); err != nil {
		return fmt.Errorf("dd: %w\n%s", err, output)
	}
	for _, name := range []string{"", "key"} {
		if err := os.Chown(at(name), uid, gid); err != nil {
			return err
		}
	}
	if err := os.Chmod(at("key"), 0o600); err != nil {
		return err
	}
	credential := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	err = c.daemon("munged", credential, "munged", "--foreground", "--force", "--socket="+at("socket"), "--key-file="+at("key"),
		"--pid-file="+at("pid"), "--log-file="+at("log"), "--seed-file="+at("seed"))
	if err != nil {
		return err
	}
	return c.await("munge answers", func() bool { return exec.Command("munge", "--no-input", "--socket="+at("socket")).Run() == nil })
}

// daemon starts a process that stays in the foreground.
func (c *cluster) daemon(name string, who *syscall.Credential, argv ...string) error {
	log, err := os.Create(filepath.Join(c.dir, "log", name))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	d := &daemon{Cmd: exec.Command(argv[0], argv[1:]...), ended: make(chan struct{})}
	d.Dir = c.dir
	d.Env = append(os.Environ(), "SLURM_CONF="+filepath.Join(c.dir, "slurm.conf"))
	d.Stdout, d.Stderr = log, log
	d.SysProcAttr = &syscall.SysProcAttr{Credential: who, Setsid: true, Pdeathsig: syscall.SIGKILL}
	if err := d.Start(); err != nil {
		return fmt.Errorf("%w: install the Debian packages slurm-wlm and munge", err)
	}
	go func() {
		_ = d.Wait() // stop asks for it
		close(d.ended)
	}()
	c.daemons = append(c.daemons, d)
	return nil
}

// patience is how long anything may take that should take no time.
const patience = 30 * time.Second

func (c *cluster) await(what string, condition func() bool) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if condition() {
			return nil
		}
	}
	return fmt.Errorf("never seen that %s; logs:\n%s", what, c.logs())
}

func (c *cluster) logs() string {
	var b strings.Builder
	names, _ := filepath.Glob(filepath.Join(c.dir, "log", "*"))
	for _, name := range names {
		text, _ := os.ReadFile(name) // what there is of it
		fmt.Fprintf(&b, "--- %s\n%s\n", filepath.Base(name), text[max(0, len(text)-2000):])
	}
	return b.String()
}

// command returns a command that the user of the cluster runs.
func (c *cluster) command(argv ...string) *exec.Cmd {
	program := argv[0]
	if ours := filepath.Join(shared, "bin", program); program == "ch-run" {
		program = ours // and not one that this machine has
	}
	cmd := exec.Command(program, argv[1:]...)
	cmd.Dir = "/"
	cmd.Env = []string{
		"SLURM_CONF=" + filepath.Join(c.dir, "slurm.conf"), "USER=" + c.user.name, "LOGNAME=" + c.user.name,
		"HOME=" + filepath.Join(c.dir, "home"), "PATH=" + shared + "/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(c.user.uid), Gid: uint32(c.user.gid)}}
	return cmd
}

// stop ends everything, and removes the directory.
func (c *cluster) stop() error {
	for i := len(c.daemons) - 1; i >= 0; i-- {
		d := c.daemons[i]
		_ = d.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-d.ended:
		case <-time.After(10 * time.Second):
			_ = d.Process.Kill()
			<-d.ended
		}
	}
	for _, pid := range c.processes() { // steps
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return os.RemoveAll(c.dir)
}

// processes returns the PIDs of what there is of the cluster's jobs and steps besides the daemons.
func (c *cluster) processes() (pids []int) {
	names, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, name := range names {
		pid, _ := strconv.Atoi(strings.Split(name, "/")[2])
		text, err := os.ReadFile(name)
		if err != nil || pid == os.Getpid() || !bytes.Contains(text, []byte("SLURM_CONF="+c.dir+"/")) || isOne(pid, daemons) {
			continue
		}
		if long.Cmd != nil && (bytes.Contains(text, []byte(longMark)) || isOne(pid, []string{"slurmstepd"})) {
			continue
		}
		pids = append(pids, pid)
	}
	return pids
}

// daemons are the processes that Slurm always has.
var daemons = []string{"slurmctld", "slurmscriptd", "slurmd", "slurmdbd", "munged", "mariadbd"}

// isOne says whether the process has one of these names.
func isOne(pid int, names []string) bool {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return err == nil && slices.Contains(names, strings.TrimSpace(string(name)))
}

func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }() // not before all have been found
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// run runs a command of the user, which is killed after a minute, and returns its output and how it ended.
func run(t *testing.T, argv ...string) (output string, status int) {
	t.Helper()
	return runCommand(t, the.command(argv...))
}

func runCommand(t *testing.T, cmd *exec.Cmd) (output string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait() // see the status
	stop()
	if ctx.Err() != nil {
		t.Fatalf("%q took over a minute:\n%s\n%s", cmd.Args, text.String(), the.logs())
	}
	return text.String(), cmd.ProcessState.ExitCode()
}
