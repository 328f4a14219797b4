package container

import (
	"ch-run/internal/bind"
	"ch-run/internal/kernel"
	"ch-run/internal/message"
)

// A hook is a named step of a launch that is not in the recipe of every container.
type hook struct {
	name string
	run  func(*stage) error
}

// A stage is what hooks work on.
type stage struct {
	tree   *bind.Tree       // on the host side, while it is put together
	mounts []bind.OpenMount // on the host side, what is still to be mounted in it; hooks may change that
	root   kernel.FD        // the root directory of the container
	log    *message.Log
}

// hooks are those of a plan, in the lists that are run at certain moments.
type hooks struct {
	host  hookList // when the image is mounted, before anything is in it, by who makes the container
	guest hookList // in the container, by who has made it
	all   hookList // in the container, by each of those who share it
}

func newHooks() hooks {
	return hooks{hookList{moment: "host"}, hookList{moment: "guest"}, hookList{moment: "all"}}
}

type hookList struct {
	moment string
	hooks  []hook
	ran    bool
}

// duplicates says what to do with a hook of a name that is in the list already.
type duplicates int

const (
	allowDuplicate duplicates = iota // run both
	skipDuplicate                    // run the first only
	failDuplicate                    // that is an error
)

// add adds a hook at the end of the list.
func (l *hookList) add(policy duplicates, h hook) error {
	if l.ran {
		return message.Errorf("hook too late: %s: %s; please report this", l.moment, h.name)
	}
	if policy != allowDuplicate {
		for _, other := range l.hooks {
			switch {
			case other.name != h.name:
			case policy == skipDuplicate:
				return nil
			default:
				return message.Errorf("duplicate hook: %s: %s; please report this", l.moment, h.name)
			}
		}
	}
	l.hooks = append(l.hooks, h)
	return nil
}

// run runs the hooks, in order. A list can be run once.
func (l *hookList) run(s *stage) error {
	if l.ran {
		return message.Errorf("hooks run already: %s; please report this", l.moment)
	}
	l.ran = true
	for i, h := range l.hooks {
		s.log.Verbose("hooks: %s: %d/%d: %s", l.moment, i+1, len(l.hooks), h.name)
		if err := h.run(s); err != nil {
			return err
		}
	}
	return nil
}
