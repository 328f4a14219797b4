package container

import (
	"errors"
	"strings"
	"testing"

	"ch-run/internal/message"
)

func TestHookPolicies(t *testing.T) {
	var ran []string
	l := newHooks().host
	step := func(name string) hook {
		return hook{name, func(*stage) error { ran = append(ran, name); return nil }}
	}
	for _, c := range []struct {
		policy duplicates
		name   string
		ok     bool
	}{{failDuplicate, "a", true}, {allowDuplicate, "a", true}, {skipDuplicate, "a", true}, {failDuplicate, "a", false}, {skipDuplicate, "b", true}} {
		if err := l.add(c.policy, step(c.name)); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
	s := &stage{log: &message.Log{}}
	if err := l.run(s); err != nil || strings.Join(ran, " ") != "a a b" {
		t.Errorf("%v, ran %q", err, ran)
	}
	if err := l.run(s); err == nil || len(ran) != 3 {
		t.Errorf("a second time: %v, ran %q", err, ran)
	}
	if err := l.add(allowDuplicate, step("late")); err == nil {
		t.Error("a hook can be added to a list that has been run")
	}
}

// An error is the end.
func TestHookError(t *testing.T) {
	failure := errors.New("failure")
	l := newHooks().all
	after := false
	for _, h := range []hook{{"fails", func(*stage) error { return failure }}, {"after", func(*stage) error { after = true; return nil }}} {
		if err := l.add(failDuplicate, h); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.run(&stage{log: &message.Log{}}); !errors.Is(err, failure) || after {
		t.Errorf("%v, %v", err, after)
	}
}
