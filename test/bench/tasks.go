package main

import (
	"fmt"
	"strconv"
	"time"
)

// A task is something that is done in a container, as often as passes says.
type task struct {
	group  string
	name   string
	tree   string   // the image is made of
	work   []string // arguments of the program workload
	passes int
	cpu    bool // the processor time of the server is a result, too
	memory bool // so is its memory
}

// The names of tasks that there are goals for.
const (
	statName     = "stat of everything"
	readName     = "reading everything"
	readTwoName  = "reading everything, two readers"
	importName   = "import numpy"
	randomName   = "fio random 4 KiB"
	randomX4Name = "fio random 4 KiB, four jobs"
)

// again is the number of passes where there are warm ones.
const again = 4

func (t tools) tasks() []task {
	fio := func(name, pattern, block string, jobs, total int, cpu bool) task {
		work := append([]string{"fio"}, t.fio...)
		work = append(work, "--name=bench", "--filename="+fioFile, "--readonly", "--ioengine=psync",
			"--thread", "--group_reporting", "--output-format=json",
			"--rw="+pattern, "--bs="+block, "--numjobs="+strconv.Itoa(jobs), "--io_size="+strconv.Itoa(total/jobs))
		return task{group: "fio", name: name, tree: fioTree, work: work, passes: 1, cpu: cpu}
	}
	return []task{
		{"find", "find", debianTree, []string{"find"}, again, false, false},
		{"stat", statName, debianTree, []string{"stat"}, again, true, false},
		{"read", readName, debianTree, []string{"read", "1"}, again, true, true},
		{"read", readTwoName, debianTree, []string{"read", "2"}, again, true, true},
		{"import", importName, debianTree, []string{"exec", "/usr/bin/python3", "-c", "import numpy"}, again, true, false},
		// An eighth of the file, so each of its blocks some four times; all of it would take minutes.
		fio(randomName, "randread", "4k", 1, fioSize/8, true),
		fio(randomX4Name, "randread", "4k", 4, fioSize/8, false),
		fio("fio random 128 KiB", "randread", "128k", 1, fioSize, false),
		fio("fio random 128 KiB, four jobs", "randread", "128k", 4, fioSize, false),
		fio("fio sequential", "read", "128k", 1, fioSize, true),
	}
}

// A row is a line of the table: something about a task.
type row struct {
	name  string
	kind  kind
	value func(session) float64
}

// A kind of rows says how they are written, and where: in this order.
type kind int

const (
	duration  kind = iota // elapsed time, in seconds
	processor             // time of the server's, in seconds
	amount                // memory of the server's, in bytes
)

func (k kind) format(value float64) string {
	if k == amount {
		return megabytes(value)
	}
	return seconds(value)
}

// memory begins the names of rows that are amounts of it.
const memory = "memory after "

func cold(name string) string       { return name + ", cold" }
func warm(name string) string       { return name + ", warm" }
func serverCPU(name string) string  { return "server CPU: " + name }
func memoryNow(name string) string  { return memory + name + ", RSS" }
func memoryPSS(name string) string  { return memory + name + ", PSS" }
func memoryPeak(name string) string { return memory + name + ", peak RSS" }

// rows are the results of the task.
func (t task) rows() []row {
	rows := []row{{cold(t.name), duration, func(s session) float64 { return s[0].elapsed.Seconds() }}}
	if t.passes > 1 {
		rows = append(rows, row{warm(t.name), duration, func(s session) float64 {
			var times []time.Duration
			for _, p := range s[1:] {
				times = append(times, p.elapsed)
			}
			return quantile(times, 0.5).Seconds()
		}})
	}
	if t.cpu {
		rows = append(rows, row{serverCPU(cold(t.name)), processor, func(s session) float64 { return s[0].used.cpu.Seconds() }})
	}
	if t.memory {
		rows = append(rows,
			row{memoryNow(t.name), amount, func(s session) float64 { return s[0].used.resident }},
			row{memoryPSS(t.name), amount, func(s session) float64 { return s[0].used.share }},
			row{memoryPeak(t.name), amount, func(s session) float64 { return s[0].used.peak }})
	}
	return rows
}

func seconds(s float64) string {
	if s < 1 {
		return fmt.Sprintf("%.1f ms", 1000*s)
	}
	return fmt.Sprintf("%.2f s", s)
}

func megabytes(bytes float64) string {
	return fmt.Sprintf("%.1f MB", bytes/1e6)
}
