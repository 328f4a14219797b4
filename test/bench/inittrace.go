package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
)

// initLine is what the Go runtime prints about a package under GODEBUG=inittrace=1.
var initLine = regexp.MustCompile(`(?m)^init (\S+) @\S+ ms, (\S+) ms clock,`)

// traceInit prints how long the packages of the binary take to initialise, those above a microsecond,
// and the total of all. --version does hardly more than that. In a launch the runtime itself needs less,
// as package early spares it work. Some of the time of internal/godebug comes from the tracing: it
// parses the variable that asks for it.
func traceInit(ctx context.Context, l launcher, binary string, starts int) error {
	packages := map[string][]float64{}
	var totals []float64
	for range starts {
		trace, err := l.run(ctx, []string{binary, "--version"}, "CH_RUN_GODEBUG=inittrace=1")
		if err != nil {
			return err
		}
		total := 0.0
		for _, match := range initLine.FindAllStringSubmatch(trace, -1) {
			ms, err := strconv.ParseFloat(match[2], 64)
			if err != nil {
				return err
			}
			packages[match[1]] = append(packages[match[1]], 1000*ms)
			total += 1000 * ms
		}
		totals = append(totals, total)
	}
	if len(packages) == 0 {
		return errors.New("GODEBUG=inittrace=1 has printed nothing that looks like a package")
	}
	return printInit(packages, quantile(totals, 0.5))
}

func printInit(packages map[string][]float64, total float64) error {
	type initialisation struct {
		name   string
		median float64
	}
	var slow []initialisation
	for name, times := range packages {
		if median := quantile(times, 0.5); median > 1 {
			slow = append(slow, initialisation{name, median})
		}
	}
	slices.SortFunc(slow, func(a, b initialisation) int {
		return cmp.Or(cmp.Compare(b.median, a.median), cmp.Compare(a.name, b.name))
	})
	rows := [][]string{{"median", ""}}
	for _, p := range slow {
		rows = append(rows, []string{fmt.Sprintf("%.0f µs", p.median), p.name})
	}
	rows = append(rows, []string{fmt.Sprintf("%.0f µs", total), fmt.Sprintf("total of all %d packages", len(packages))})
	return printTable(rows)
}
