package backup

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// inQueue is a backup of some namespaces, created some minutes after t0.
func inQueue(name string, minutes int, phase velerov1.BackupPhase, mods ...func(*velerov1.Backup)) velerov1.Backup {
	b := newBackup(mods...)
	b.Name = name
	b.CreationTimestamp = metav1.NewTime(t0.Add(time.Duration(minutes) * time.Minute))
	b.Status.Phase = phase
	return *b
}

func ofNamespaces(names ...string) func(*velerov1.Backup) {
	return func(b *velerov1.Backup) { b.Spec.IncludedNamespaces = names }
}

func atPosition(n int) func(*velerov1.Backup) {
	return func(b *velerov1.Backup) { b.Status.QueuePosition = n }
}

func TestPlanQueue(t *testing.T) {
	t.Parallel()

	const (
		fresh   = velerov1.BackupPhase("")
		queued  = velerov1.BackupPhaseQueued
		going   = velerov1.BackupPhaseReadyToStart
		running = velerov1.BackupPhaseInProgress
	)
	tests := map[string]struct {
		backups []velerov1.Backup
		limit   int
		want    []string // name, then "ready" or place and message
	}{
		"an empty queue": {},
		"the only one starts": {
			backups: []velerov1.Backup{inQueue("a", 0, fresh)}, limit: 1, want: []string{"a ready"},
		},
		"the oldest starts, others wait in the order of their age": {
			backups: []velerov1.Backup{inQueue("c", 2, fresh, ofNamespaces("c")), inQueue("a", 0, fresh, ofNamespaces("a")), inQueue("b", 1, fresh, ofNamespaces("b"))},
			limit:   1,
			want:    []string{"a ready", "b 1 waiting until fewer than 1 backups run", "c 2 waiting until fewer than 1 backups run"},
		},
		"of the same age, the first by name": {
			backups: []velerov1.Backup{inQueue("b", 0, fresh, ofNamespaces("b")), inQueue("a", 0, velerov1.BackupPhaseNew, ofNamespaces("a"))}, limit: 1,
			want: []string{"a ready", "b 1 waiting until fewer than 1 backups run"},
		},
		"places that were given stay": {
			backups: []velerov1.Backup{
				inQueue("old", 0, fresh, ofNamespaces("x")), inQueue("two", 1, queued, atPosition(2)), inQueue("one", 2, queued, atPosition(1)),
			},
			limit: 1,
			want:  []string{"one ready", "two 1 waiting until fewer than 1 backups run", "old 2 waiting until fewer than 1 backups run"},
		},
		"what runs takes a place": {
			backups: []velerov1.Backup{inQueue("a", 0, running, ofNamespaces("a")), inQueue("b", 1, queued, ofNamespaces("b"))}, limit: 1,
			want: []string{"b 1 waiting until fewer than 1 backups run"},
		},
		"what is ready to start takes a place, also after a restart": {
			backups: []velerov1.Backup{inQueue("a", 0, going, ofNamespaces("a")), inQueue("b", 1, queued, ofNamespaces("b"))}, limit: 1,
			want: []string{"b 1 waiting until fewer than 1 backups run"},
		},
		"more may run": {
			backups: []velerov1.Backup{inQueue("a", 0, running, ofNamespaces("a")), inQueue("b", 1, queued, ofNamespaces("b")), inQueue("c", 2, fresh, ofNamespaces("c"))},
			limit:   3, want: []string{"b ready", "c ready"},
		},
		"a namespace that is being backed up": {
			backups: []velerov1.Backup{inQueue("a", 0, running, ofNamespaces("app-*")), inQueue("b", 1, queued, ofNamespaces("app-1", "z"))}, limit: 3,
			want: []string{"b 1 waiting for backup a, which takes namespace app-1 too"},
		},
		"a namespace that one before it in the queue takes": {
			backups: []velerov1.Backup{
				inQueue("a", 0, running, ofNamespaces("a")), inQueue("b", 1, fresh, ofNamespaces("a", "b")),
				inQueue("c", 2, fresh, ofNamespaces("b")), inQueue("d", 3, fresh, ofNamespaces("c")),
			},
			limit: 3,
			want: []string{
				"b 1 waiting for backup a, which takes namespace a too", "c 2 waiting for backup b, which takes namespace b too", "d ready",
			},
		},
		"everything shares with everybody": {
			backups: []velerov1.Backup{inQueue("a", 0, running, ofNamespaces("a")), inQueue("b", 1, fresh)}, limit: 3,
			want: []string{"b 1 waiting for backup a, which takes namespace a too"},
		},
		"an excluded namespace is not shared": {
			backups: []velerov1.Backup{inQueue("a", 0, running, ofNamespaces("a")), inQueue("b", 1, fresh, func(b *velerov1.Backup) {
				b.Spec.ExcludedNamespaces = []string{"a"}
			})},
			limit: 2, want: []string{"b ready"},
		},
		"a namespace that does not exist is not shared": {
			backups: []velerov1.Backup{inQueue("a", 0, running, ofNamespaces("gone")), inQueue("b", 1, fresh, ofNamespaces("gone"))}, limit: 2,
			want: []string{"b ready"},
		},
		"what is finished, deleted, canceled or another controller's is not in the queue": {
			backups: []velerov1.Backup{
				inQueue("done", 0, velerov1.BackupPhaseCompleted), inQueue("invalid", 0, velerov1.BackupPhaseFailedValidation),
				inQueue("gone", 0, queued, deleted), inQueue("unwanted", 0, queued, canceledBy("ann")),
				inQueue("finalizing", 0, velerov1.BackupPhaseFinalizing), inQueue("deleting", 0, velerov1.BackupPhaseDeleting),
				inQueue("b", 1, queued, atPosition(7)),
			},
			limit: 1, want: []string{"b ready"},
		},
		"a backup that is canceled while it runs takes its place until it has ended": {
			backups: []velerov1.Backup{inQueue("a", 0, running, ofNamespaces("a"), canceledBy("ann")), inQueue("b", 1, queued, ofNamespaces("b"))}, limit: 1,
			want: []string{"b 1 waiting until fewer than 1 backups run"},
		},
		"fewer may run than do": {
			backups: []velerov1.Backup{inQueue("a", 0, running), inQueue("b", 0, running), inQueue("c", 1, fresh)}, limit: 1,
			want: []string{"c 1 waiting until fewer than 1 backups run"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			places := planQueue(queueFacts{backups: tc.backups, namespaces: []string{"a", "app-1", "app-2", "b", "c", "x", "z"}, limit: tc.limit})

			var got []string
			for _, p := range places {
				if p.ready {
					g.Expect(p.message).To(BeEmpty())
					got = append(got, p.backup.Name+" ready")
					continue
				}
				got = append(got, fmt.Sprintf("%s %d %s", p.backup.Name, p.number, p.message))
			}
			g.Expect(got).To(Equal(tc.want))
		})
	}
}

func TestNeedsNamespaces(t *testing.T) {
	t.Parallel()

	tests := map[string]struct {
		backups []velerov1.Backup
		limit   int
		want    bool
	}{
		"nobody waits":                     {backups: []velerov1.Backup{inQueue("a", 0, velerov1.BackupPhaseInProgress)}, limit: 2},
		"one waits alone":                  {backups: []velerov1.Backup{inQueue("a", 0, "")}, limit: 1},
		"no place is free":                 {backups: []velerov1.Backup{inQueue("a", 0, velerov1.BackupPhaseInProgress), inQueue("b", 0, "")}, limit: 1},
		"a place is free beside a running": {backups: []velerov1.Backup{inQueue("a", 0, velerov1.BackupPhaseInProgress), inQueue("b", 0, "")}, limit: 2, want: true},
		"two wait":                         {backups: []velerov1.Backup{inQueue("a", 0, ""), inQueue("b", 0, "")}, limit: 1, want: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			NewWithT(t).Expect(needsNamespaces(queueFacts{backups: tc.backups, limit: tc.limit})).To(Equal(tc.want))
		})
	}
}
