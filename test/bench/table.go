package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// compare measures the commands and prints how long each takes, and how much of the first one's time
// that is. It returns what it has measured.
func compare(ctx context.Context, l launcher, commands []command, ct contest) ([][]time.Duration, error) {
	// One that fails is to say why, which it cannot while it is measured.
	for _, c := range commands {
		err := c.around(ctx, func() error {
			_, err := l.run(ctx, c.argv)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	times, err := ct.times(ctx, l, commands)
	if err != nil {
		return nil, err
	}
	rows := [][]string{{"1st quartile", "ratio", "median", "ratio", ""}}
	for i, c := range commands {
		var row []string
		for _, q := range []float64{0.25, 0.5} {
			value, reference := quantile(times[i], q), quantile(times[0], q)
			row = append(row,
				fmt.Sprintf("%.2f ms", float64(value)/float64(time.Millisecond)),
				fmt.Sprintf("%.2f", float64(value)/float64(reference)))
		}
		rows = append(rows, append(row, c.name))
	}
	return times, printTable(rows)
}

// quantile returns the value below which the fraction q of values lies, interpolated between the two
// values next to it. There must be some.
func quantile[T time.Duration | float64](values []T, q float64) T {
	sorted := slices.Sorted(slices.Values(values))
	position := q * float64(len(sorted)-1)
	i := int(position)
	if i+1 == len(sorted) {
		return sorted[i]
	}
	return sorted[i] + T((position-float64(i))*float64(sorted[i+1]-sorted[i]))
}

// printTable prints the last column flush left, as it is text, and the others flush right.
func printTable(rows [][]string) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range rows {
		text := len(row) - 1
		if _, err := fmt.Fprintf(w, "%s\t  %s\n", strings.Join(row[:text], "\t"), row[text]); err != nil {
			return err
		}
	}
	return w.Flush()
}
