// Package join works out which peers a process shares its container with: how many they are, and the tag
// by which they find each other. How they then meet is told by join.c in package early.
package join

import (
	"strconv"
	"strings"

	"ch-run/internal/message"
)

// A Group is a number of peers that share one container on a node.
type Group struct {
	Size     uint32 // number of peers
	Tag      string // what they find each other by
	SizeFrom string // where the size is from, for messages
	TagFrom  string // where the tag is from
}

const commandLine = "command line"

// maxTag is the length of the longest tag, in bytes: with what is put before it, it is a file name.
const maxTag = 240

// A Caller is what the group depends on besides the options.
type Caller struct {
	Variable func(name string) (value string, ok bool) // of the environment
	Parent   int                                       // PID of the parent process
}

// Find returns the group of a process that was started with the options --join-ct=size, or without that option
// if it is 0, and --join-tag=tag, or without if it is nil.
func Find(size int32, tag *string, c Caller) (g Group, err error) {
	g.Size, g.SizeFrom, err = c.size(size)
	if err != nil {
		return g, err
	}
	g.Tag, g.TagFrom = c.tag(tag)
	switch {
	case strings.Contains(g.Tag, "/"):
		return g, message.Errorf("join: peer group tag cannot contain '/': %s", g.Tag)
	case len(g.Tag) > maxTag:
		return g, message.Errorf("join: peer group tag is longer than %d bytes: %s", maxTag, g.Tag)
	}
	return g, nil
}

// sizeVariables are where the number of peers is looked for, the first that is set.
var sizeVariables = []string{"OMPI_COMM_WORLD_LOCAL_SIZE", "SLURM_STEP_TASKS_PER_NODE", "SLURM_CPUS_ON_NODE"}

func (c Caller) size(option int32) (size uint32, from string, err error) {
	if option > 0 {
		return uint32(option), commandLine, nil
	}
	if option == 0 {
		for _, name := range sizeVariables {
			value, ok := c.Variable(name)
			if !ok {
				continue
			}
			n, err := strconv.ParseInt(leadingDigits(c.onThisNode(value)), 10, 32)
			switch {
			case leadingDigits(value) == "":
				return 0, "", message.Errorf("%s: no digits found: %s", name, value)
			case err != nil:
				return 0, "", message.Errorf("%s: out of range: %s", name, value)
			case n > 0:
				return uint32(n), name, nil
			}
			break
		}
	}
	return 0, "", message.Errorf("join: no valid peer group size found").
		Hint("give the number of peers on this node, --join-ct=N")
}

// Tasks returns how many tasks a step of Slurm has on this node; 0 if this is not one of them.
func (c Caller) Tasks() int {
	if id, _ := c.Variable("SLURM_STEP_ID"); id == "" {
		return 0
	}
	list, _ := c.Variable("SLURM_STEP_TASKS_PER_NODE")
	n, err := strconv.Atoi(leadingDigits(c.onThisNode(list)))
	if err != nil {
		return 0
	}
	return n
}

func leadingDigits(s string) string {
	end := 0
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	return s[:end]
}

// onThisNode returns the part of a list such as "4(x2),3" that is for this node: Slurm gives the nodes of a
// step the same list, here of two nodes with 4 tasks each and one with 3, and to each node its number.
func (c Caller) onThisNode(list string) string {
	number, _ := c.Variable("SLURM_NODEID")
	node, err := strconv.Atoi(number)
	if err != nil || node < 0 || !strings.Contains(list, ",") {
		return list
	}
	for item := range strings.SplitSeq(list, ",") {
		nodes := 1
		if _, repeat, ok := strings.Cut(item, "(x"); ok {
			nodes, _ = strconv.Atoi(leadingDigits(repeat)) // 0 if it is not a number after all
		}
		if node -= nodes; node < 0 {
			return item
		}
	}
	return list
}

func (c Caller) tag(option *string) (tag, from string) {
	if option != nil {
		return *option, commandLine
	}
	const step = "SLURM_STEP_ID"
	if id, _ := c.Variable(step); id == "" {
		return strconv.Itoa(c.Parent), "getppid(2)"
	}
	// The step alone would be the same for two jobs of a user on a node, and for the nodes of a cluster
	// that is simulated on one host.
	var parts []string
	for _, name := range []string{"SLURM_JOB_ID", step, "SLURMD_NODENAME"} {
		if value, _ := c.Variable(name); value != "" {
			parts = append(parts, value)
		}
	}
	return strings.Join(parts, "."), step
}
