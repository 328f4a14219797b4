package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// output runs a command, which does not outlive this process: it would keep the container.
func output(argv []string) ([]byte, error) {
	c := exec.Command(argv[0], argv[1:]...)
	c.Stderr = os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, out)
	}
	return out, nil
}

// fio runs fio(1) and takes from its report how long all of its jobs together were reading, without what it
// takes to start, and how many bytes they have read. It must have been told --output-format=json and
// --group_reporting.
func fio(argv []string) (pass, error) {
	out, err := output(argv)
	if err != nil {
		return pass{}, err
	}
	var report struct {
		Jobs []struct {
			Error int
			Read  struct {
				Bytes   int64 `json:"io_bytes"`
				Runtime int64 // milliseconds
			}
		}
	}
	if err := json.Unmarshal(out, &report); err != nil {
		return pass{}, fmt.Errorf("report of fio: %w\n%s", err, out)
	}
	if len(report.Jobs) != 1 || report.Jobs[0].Error != 0 || report.Jobs[0].Read.Runtime == 0 {
		return pass{}, fmt.Errorf("report of fio: no reading that took time:\n%s", out)
	}
	read := report.Jobs[0].Read
	return pass{time.Duration(read.Runtime) * time.Millisecond, read.Bytes}, nil
}
