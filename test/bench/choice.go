package main

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
)

// groups are the parts that -only chooses from, in the order in which they are measured.
var groups = []string{"directory", "device", "join", "launch", "find", "stat", "read", "import", "fio", "slow", "compressors"}

// A choice is what the user wants measured.
type choice struct {
	binary      string // ch-run
	before      string // an earlier one, or ""
	launches    int
	rounds      int
	groups      []string
	compressors []string
	without     []string // rivals
}

func parseChoice() (choice, error) {
	var c choice
	flag.StringVar(&c.binary, "binary", "bin/ch-run", "measure this `executable`")
	flag.StringVar(&c.before, "before", "", "compare launches without devices with an earlier `executable`")
	flag.IntVar(&c.launches, "n", 400, "launch from a directory this `number` of times, and from images a quarter of it")
	flag.IntVar(&c.rounds, "rounds", 5, "do everything else this `number` of times")
	only := flag.String("only", "", "measure only these `groups`: "+strings.Join(groups, ","))
	compressors := flag.String("compressors", "gzip,zstd,lz4", "compare with others on images with these `compressors`")
	without := flag.String("without", "", "leave out these `rivals`: "+strings.Join([]string{ours, squashfuse, kernel, charliecloud}, ","))
	flag.Parse()
	var errs []error
	list := func(value string, among []string) []string {
		if value == "" {
			return nil
		}
		chosen := strings.Split(value, ",")
		for _, word := range chosen {
			if !listed(among, word) {
				errs = append(errs, fmt.Errorf("no %q among %s", word, strings.Join(among, ",")))
			}
		}
		return chosen
	}
	c.groups = list(*only, groups)
	if c.groups == nil {
		c.groups = groups
	}
	c.compressors = list(*compressors, allCompressors)
	c.without = list(*without, []string{ours, squashfuse, kernel, charliecloud})
	if c.launches < 4 || c.rounds < 1 {
		errs = append(errs, errors.New("-n must be at least 4 and -rounds at least 1"))
	}
	if flag.NArg() > 0 {
		errs = append(errs, fmt.Errorf("unexpected: %q", flag.Arg(0)))
	}
	return c, errors.Join(errs...)
}

func listed(list []string, word string) bool { return slices.Contains(list, word) }

func (c choice) wants(group string) bool { return listed(c.groups, group) }
