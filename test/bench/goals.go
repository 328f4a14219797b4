package main

import (
	"fmt"
	"slices"
	"strings"
)

// A goal is a limit for rows: as a ratio of a rival's figure, or, without rival, of our figure itself.
type goal struct {
	text   string
	limit  float64
	rival  string
	covers func(row string) bool
}

const launchRow = "launch of /bin/true"

func goals() []goal {
	these := func(rows ...string) func(string) bool {
		return func(row string) bool { return listed(rows, row) }
	}
	ofMemory := func(row string) bool { return strings.HasPrefix(row, memory) }
	others := func(row string) bool { return !ofMemory(row) }
	return []goal{
		{"every row but memory", 1, squashfuse, others},
		{"every row of memory", 1, squashfuse, ofMemory},
		{"stat, cold", 0.5, squashfuse, these(cold(statName))},
		{"reading everything, cold", 0.55, squashfuse, these(cold(readName), cold(readTwoName))},
		{"reading everything, warm", 0.3, squashfuse, these(warm(readName), warm(readTwoName))},
		{"import numpy, cold", 0.8, squashfuse, these(cold(importName))},
		{"random 4 KiB", 0.6, squashfuse, these(cold(randomName), cold(randomX4Name))},
		{"reading everything, cold", 1, kernel, these(cold(readName), cold(readTwoName))},
		{"reading everything, warm", 1, kernel, these(warm(readName), warm(readTwoName))},
		{"launch", 0.75, charliecloud, these(launchRow)},
		{"memory after reading everything", 16e6, "", these(memoryNow(readName), memoryNow(readTwoName))},
	}
}

// printGoals says of each goal that something was measured for whether it was reached, with the figure
// that is farthest from it for each compressor.
func printGoals(all results, compressors []string) error {
	table := [][]string{append(slices.Clone(compressors), "limit", "", "")}
	for _, g := range goals() {
		line := make([]string, len(compressors))
		verdict, worst, which, several := "", 0.0, "", false
		for i, compressor := range compressors {
			value, row, covered := g.farthest(all, compressor)
			if covered == 0 {
				line[i] = "-"
				continue
			}
			several = several || covered > 1
			line[i] = g.format(value)
			if value > worst {
				worst, which = value, row
			}
			if verdict == "" {
				verdict = "reached"
			}
			if value > g.limit {
				verdict = "MISSED"
			}
		}
		if verdict == "" {
			continue
		}
		text := g.text
		if g.rival != "" {
			text += " / " + g.rival
		}
		if several {
			text += " (worst: " + which + ")"
		}
		table = append(table, append(line, g.format(g.limit), verdict, text))
	}
	if len(table) == 1 {
		return nil
	}
	fmt.Printf("\nGoals, as ratios of medians:\n\n")
	return printTable(table)
}

// farthest returns the largest figure for the goal, the row that it stands in, and of how many it is the largest.
func (g goal) farthest(all results, compressor string) (worst float64, which string, covered int) {
	for k := range all {
		if k.rival != ours || k.compressor != compressor || !g.covers(k.row) {
			continue
		}
		value, ok := all.median(k)
		if g.rival != "" {
			value, ok = all.ratio(compressor, k.row, ours, g.rival)
		}
		if !ok {
			continue
		}
		if covered++; covered == 1 || value > worst {
			worst, which = value, k.row
		}
	}
	return worst, which, covered
}

func (g goal) format(value float64) string {
	if g.rival == "" {
		return megabytes(value)
	}
	return fmt.Sprintf("%.2f", value)
}
