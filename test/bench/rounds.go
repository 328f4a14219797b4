package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
)

// A match is a task that rivals do on images of one kind.
type match struct {
	compressor string
	task       task
	rivals     []rival
}

// A key names a result. Those for launches have no row of a task.
type key struct{ compressor, row, rival string }

// results are the samples of all rounds.
type results map[key][]float64

// median returns false where there is no sample.
func (r results) median(k key) (float64, bool) {
	if len(r[k]) == 0 {
		return 0, false
	}
	return quantile(r[k], 0.5), true
}

// ratio of medians of two rivals, or false if one has none.
func (r results) ratio(compressor, row, rival, reference string) (float64, bool) {
	value, ok := r.median(key{compressor, row, rival})
	base, known := r.median(key{compressor, row, reference})
	return value / base, ok && known && base > 0
}

// compareRivals has the rivals do all tasks that are chosen, and prints a table for each compressor.
func (s stage) compareRivals(ctx context.Context, chosen choice, all results) error {
	tasks := slices.DeleteFunc(s.tools.tasks(), func(t task) bool { return !chosen.wants(t.group) })
	if len(tasks) == 0 {
		return nil
	}
	rivals := s.rivals(chosen.without)
	if os.Geteuid() != 0 {
		progress("without the kernel's own squashfs, which only root can mount")
	}
	var matches []match
	for _, compressor := range chosen.compressors {
		for _, t := range tasks {
			matches = append(matches, match{compressor, t, rivals})
		}
	}
	if err := s.play(ctx, matches, chosen.rounds, all); err != nil {
		return err
	}
	var names []string
	for _, r := range rivals {
		names = append(names, r.name)
	}
	for _, compressor := range chosen.compressors {
		fmt.Printf("\nImages with %s, medians of %d round(s):\n\n", compressor, chosen.rounds)
		if err := printRivals(all, compressor, tasks, names); err != nil {
			return err
		}
	}
	return nil
}

// play has each match once a round, and in it each rival once, in random order. All rivals must have
// found the same in the image.
func (s stage) play(ctx context.Context, matches []match, rounds int, all results) error {
	images := map[[2]string]string{}
	for _, m := range matches {
		made, err := s.image(ctx, m.task.tree, m.compressor)
		if err != nil {
			return err
		}
		images[[2]string{m.task.tree, m.compressor}] = made.path
	}
	amounts := map[string]int64{}
	for round := range rounds {
		progress("round %d of %d", round+1, rounds)
		for _, m := range matches {
			for _, i := range rand.Perm(len(m.rivals)) {
				r := m.rivals[i]
				result, err := s.hold(ctx, r, images[[2]string{m.task.tree, m.compressor}], m.task)
				if err != nil {
					return fmt.Errorf("%s, %s, %s: %w", m.task.name, m.compressor, r.name, err)
				}
				for _, p := range result {
					if known, ok := amounts[m.task.name]; ok && known != p.amount {
						return fmt.Errorf("%s, %s, %s: %d, where others had %d", m.task.name, m.compressor, r.name, p.amount, known)
					}
					amounts[m.task.name] = p.amount
				}
				for _, row := range m.task.rows() {
					k := key{m.compressor, row.name, r.name}
					all[k] = append(all[k], row.value(result))
				}
			}
		}
	}
	return nil
}
