package moverlog

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"

	"github.com/podkeep/podkeep/internal/wire"
)

// openerFunc is an Opener.
type openerFunc func(ctx context.Context, t Target) (io.ReadCloser, error)

func (f openerFunc) Open(ctx context.Context, t Target) (io.ReadCloser, error) { return f(ctx, t) }

var target = Target{Kind: wire.KindBackup, Namespace: "velero", Name: "nightly-1", UID: "pod-1"}

const wholeLog = `{"type":"prepared"}` + "\n" + `{"type":"started"}` + "\n" + `{"type":"result","result":{"totalBytes":1}}` + "\n"

func TestFollowerTriesUntilTheContainerIsThere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		var tries atomic.Int32
		var stages atomic.Int32
		var last atomic.Pointer[State]
		f := &Follower{
			Clock: clock.RealClock{},
			Begun: func(Target) bool { return true },
			Logs: openerFunc(func(context.Context, Target) (io.ReadCloser, error) {
				if tries.Add(1) < 5 {
					return nil, errors.New("container is waiting to start: ContainerCreating")
				}
				return io.NopCloser(strings.NewReader(wholeLog)), nil
			}),
			Notify: func(_ context.Context, _ Target, s State) {
				stages.Add(1)
				last.Store(&s)
			},
		}
		f.Follow(target)

		runUntilIdle(t, f)

		g.Expect(tries.Load()).To(BeEquivalentTo(5))
		g.Expect(stages.Load()).To(BeEquivalentTo(3), "prepared, started, result")
		g.Expect(last.Load().Result).To(Equal(&wire.Result{TotalBytes: 1}))
	})
}

func TestFollowerOpensALogAgainThatEndsWithoutResult(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		var tries atomic.Int32
		var stages atomic.Int32
		f := &Follower{
			Clock: clock.RealClock{},
			Begun: func(Target) bool { return true },
			Logs: openerFunc(func(context.Context, Target) (io.ReadCloser, error) {
				if tries.Add(1) == 1 {
					return io.NopCloser(strings.NewReader(`{"type":"prepared"}` + "\n" + `{"type":"sta`)), nil
				}
				return io.NopCloser(strings.NewReader(wholeLog)), nil
			}),
			Notify: func(context.Context, Target, State) { stages.Add(1) },
		}
		f.Follow(target)

		runUntilIdle(t, f)

		g.Expect(tries.Load()).To(BeEquivalentTo(2))
		g.Expect(stages.Load()).To(BeEquivalentTo(3), "prepared is said once")
	})
}

func TestFollowerAsksTheAPIServerOnlyWhenThereMayBeALog(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		begunAfter int // looks
		hurry      bool
		want       time.Duration
	}{
		"container is made: at the next look":                     {begunAfter: 4, want: 4 * lookInterval},
		"container is known to run: at once":                      {begunAfter: 1000, hurry: true, want: 0},
		"nobody can tell whether there is a container: patiently": {begunAfter: 1000, want: patientInterval},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := NewWithT(t)
				c := clock.RealClock{}
				began, looks, tries := c.Now(), 0, []time.Duration{}
				f := &Follower{
					Clock: c,
					Begun: func(Target) bool { looks++; return looks >= tc.begunAfter },
					Logs: openerFunc(func(context.Context, Target) (io.ReadCloser, error) {
						tries = append(tries, c.Since(began))
						return io.NopCloser(strings.NewReader(wholeLog)), nil
					}),
					Notify: func(context.Context, Target, State) {},
				}
				f.Follow(target)
				if tc.hurry {
					f.Hurry(target.UID)
				}

				runUntilIdle(t, f)

				g.Expect(tries).To(HaveLen(1))
				g.Expect(tries[0]).To(BeNumerically("~", tc.want, lookInterval))
			})
		})
	}
}

func TestForgottenMoverIsNotFollowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		ctx, cancel := context.WithCancel(t.Context())
		opened, closed := make(chan struct{}), make(chan struct{})
		f := &Follower{
			Clock: clock.RealClock{},
			Begun: func(Target) bool { return true },
			Logs: openerFunc(func(ctx context.Context, _ Target) (io.ReadCloser, error) {
				r, w := io.Pipe()
				close(opened)
				context.AfterFunc(ctx, func() { w.CloseWithError(ctx.Err()); close(closed) })
				return r, nil
			}),
			Notify: func(context.Context, Target, State) {},
		}
		done := make(chan error)
		go func() { done <- f.Start(ctx) }()
		f.Follow(target)
		<-opened

		f.Keep(target.Kind, target.Name, "")

		<-closed
		g.Expect(f.State(target.UID)).To(Equal(State{}))
		cancel()
		g.Expect(<-done).To(Succeed(), "no goroutine is left")
	})
}

// runUntilIdle runs the follower until nothing is left to wait for. In the bubble
// of synctest time only moves while everything waits, so this takes no time and
// lets all timers of the follower pass.
func runUntilIdle(t *testing.T, f *Follower) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- f.Start(ctx) }()
	<-f.Clock.After(2 * patientInterval)
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
