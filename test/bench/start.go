package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// launchImages compares launches of /bin/true from SquashFS images.
func (s stage) launchImages(ctx context.Context, compressors, without []string, rounds int, all results) error {
	for _, compressor := range compressors {
		made, err := s.image(ctx, debianTree, compressor)
		if err != nil {
			return err
		}
		names, commands := s.launches(made.path, without)
		fmt.Printf("\n%d launches of each from an image with %s:\n\n", rounds, compressor)
		times, err := compare(ctx, s.l, commands, contest{copies: 1, warmUp: 3, rounds: rounds, settle: s.settle})
		if err != nil {
			return err
		}
		for i, name := range names {
			all.addTimes(key{compressor, launchRow, name}, times[i])
		}
	}
	return nil
}

func (r results) addTimes(k key, times []time.Duration) {
	for _, t := range times {
		r[k] = append(r[k], t.Seconds())
	}
}

// settle waits until the server of a launch is gone, which may be after the command's end: its last
// work is not to be done in the time of the next launch.
func (s stage) settle() error {
	return s.in.noServers()
}

// launches returns the commands and the rivals whose they are.
func (s stage) launches(image string, without []string) (names []string, commands []command) {
	// Who has no server of his own mounts, launches from the directory, and unmounts.
	const script = `squashfuse_ll "$1" "$2" && "$3" "$2" -- /bin/true; r=$?; fusermount3 -u "$2"; exit $r`
	add := func(name, title string, argv ...string) {
		if !listed(without, name) {
			names = append(names, name)
			commands = append(commands, command{name: title, argv: argv})
		}
	}
	add(charliecloud, "Charliecloud's C ch-run", peer, "-m", s.mountPoint, image, "--", "/bin/true")
	add(ours, "ch-run", s.launch(image)...)
	add(squashfuse, "squashfuse_ll, ch-run from the mount, fusermount3 -u",
		"/bin/sh", "-c", script, "sh", image, s.mountPoint, s.in.binary)
	if os.Geteuid() == 0 && !listed(without, kernel) { // what would be left if FUSE, its server and mounting took no time
		names = append(names, kernel)
		commands = append(commands, command{
			name: "ch-run from the kernel's mount, which is not measured",
			argv: s.launch(s.mountPoint),
			mount: func(ctx context.Context) (func() error, error) {
				mounted, err := s.serveKernel(ctx, image)
				return mounted.end, err
			},
		})
	}
	return names, commands
}

func (s stage) launch(image string) []string {
	return []string{s.in.binary, image, "--", "/bin/true"}
}
