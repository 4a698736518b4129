package sync

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/objectstore"
)

func TestReport(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		result     result
		wantReason string
		wantText   string
		wantSynced bool
	}{
		"all is well": {result: result{place: "p"}, wantReason: velerov1.ReasonSucceeded, wantText: "are in the cluster", wantSynced: true},
		"a backup that cannot be read is named": {
			result:     result{place: "p", problems: []problem{{backup: "weekly", why: "it is\nbroken"}, {backup: "nightly", why: "it is huge"}}},
			wantReason: velerov1.ReasonBackupsSkipped, wantText: "nightly: it is huge; weekly: it is broken", wantSynced: true,
		},
		"held Backups are named, with the way out": {
			result:     result{place: "before", held: []string{"nightly"}},
			wantReason: velerov1.ReasonRemovalHeld,
			wantText:   "kubectl annotate backupstoragelocation a -n velero --overwrite podkeep.io/synced-from=here", wantSynced: true,
		},
		"an empty place is called so": {
			result:     result{place: "before", held: []string{"nightly"}, isEmpty: true, problems: []problem{{backup: "weekly", why: "broken"}}},
			wantReason: velerov1.ReasonRemovalHeld, wantText: "completely empty", wantSynced: true,
		},
		"storage that does not answer": {
			result:     result{failure: fmt.Errorf("listing s3://b/: %w", objectstore.ErrUnavailable), problems: []problem{{backup: "a", why: "b"}}},
			wantReason: velerov1.ReasonStorageUnavailable, wantText: "could not be compared with those in the cluster: listing s3://b/",
		},
		"an API server that does not answer is not the location's": {
			result:     result{failure: inCluster("creating Backup x", errors.New("no"))},
			wantReason: "Before", wantText: "before",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			l := bsl("a", syncedFrom("before"))
			l.Status.Conditions = []metav1.Condition{{Type: velerov1.ConditionSynced, Reason: "Before", Message: "before"}}

			report(l, tc.result, t0)

			g.Expect(l.Status.Conditions).To(HaveLen(1))
			g.Expect(l.Status.Conditions[0].Reason).To(Equal(tc.wantReason))
			g.Expect(l.Status.Conditions[0].Message).To(ContainSubstring(tc.wantText))
			g.Expect(l.Status.LastSyncedTime != nil).To(Equal(tc.wantSynced))
			if tc.wantSynced {
				g.Expect(l.Annotations).To(HaveKeyWithValue(velerov1.SyncedFromAnnotation, tc.result.place))
			} else {
				g.Expect(l.Annotations).To(HaveKeyWithValue(velerov1.SyncedFromAnnotation, "before"))
			}
		})
	}
}

func TestReportDoesNotFlap(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	a, b := bsl("a"), bsl("a")

	report(a, result{problems: []problem{{backup: "x", why: "1"}, {backup: "y", why: "2"}, {backup: "x", why: "0"}}}, t0)
	report(b, result{problems: []problem{{backup: "y", why: "2"}, {backup: "x", why: "0"}, {backup: "x", why: "1"}}}, t0)

	g.Expect(a.Status.Conditions).To(Equal(b.Status.Conditions))
}

func TestMessagesAreBounded(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	var r result
	for i := range 1000 {
		r.problems = append(r.problems, problem{backup: strings.Repeat("ü", 1000) + fmt.Sprint(i), why: strings.Repeat("ß", 1000)})
		r.held = append(r.held, fmt.Sprintf("backup-%d", i))
	}
	l := bsl("a")

	report(l, r, t0)

	message := l.Status.Conditions[0].Message
	g.Expect(len(message)).To(BeNumerically("<", 4000))
	g.Expect(message).To(ContainSubstring("and 995 more"))
	reason, note := newComplaint(bsl("a"), l)
	g.Expect(reason).To(Equal(velerov1.ReasonRemovalHeld))
	g.Expect(len(note)).To(BeNumerically("<=", 1024))
	g.Expect(strings.ToValidUTF8(note, "?")).To(Equal(note))
}

func TestComplaintIsToldOnce(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	first, second, fine := bsl("a"), bsl("a"), bsl("a")
	report(first, result{problems: []problem{{backup: "x", why: "1"}}}, t0)
	report(second, result{problems: []problem{{backup: "x", why: "1"}}}, t0.Add(time.Minute))
	report(fine, result{}, t0)

	reason, _ := newComplaint(bsl("a"), first)
	g.Expect(reason).To(Equal(velerov1.ReasonBackupsSkipped))
	reason, _ = newComplaint(first, second)
	g.Expect(reason).To(BeEmpty())
	reason, _ = newComplaint(first, fine)
	g.Expect(reason).To(BeEmpty())
}
