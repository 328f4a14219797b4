package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
)

// progress tells the user what takes so long.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

// printRivals prints a table: a line for each row of the tasks, a column for each rival, and how much of the
// others' our figures are.
func printRivals(all results, compressor string, tasks []task, rivals []string) error {
	references := slices.DeleteFunc(slices.Clone(rivals), func(name string) bool { return name == ours })
	head := slices.Clone(rivals)
	if slices.Contains(rivals, ours) {
		for _, name := range references {
			head = append(head, "of "+name)
		}
	}
	table := [][]string{append(head, "")}
	for _, r := range ordered(tasks) {
		var line []string
		for _, name := range rivals {
			line = append(line, all.show(key{compressor, r.name, name}, r.kind.format))
		}
		for _, name := range references {
			if len(line) < len(head) {
				line = append(line, all.showRatio(compressor, r.name, name))
			}
		}
		table = append(table, append(line, r.name))
	}
	return printTable(table)
}

// ordered returns the rows of all tasks, kind by kind.
func ordered(tasks []task) []row {
	var rows []row
	for _, t := range tasks {
		rows = append(rows, t.rows()...)
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(a.kind, b.kind) })
	return rows
}

// show formats a median. There is nothing to show for what the kernel uses.
func (r results) show(k key, format func(float64) string) string {
	if value, ok := r.median(k); ok && value > 0 {
		return format(value)
	}
	return "-"
}

func (r results) showRatio(compressor, row, reference string) string {
	if ratio, ok := r.ratio(compressor, row, ours, reference); ok {
		return fmt.Sprintf("%.2f", ratio)
	}
	return "-"
}
