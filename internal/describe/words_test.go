package describe

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

func TestBytes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		n    int64
		want string
	}{
		"nothing":                           {0, "0 B"},
		"less than nothing is nothing":      {-5, "0 B"},
		"last of bytes":                     {1023, "1023 B"},
		"first of kibibytes":                {1024, "1.0 KiB"},
		"one decimal":                       {1536 << 20, "1.5 GiB"},
		"three digits need no decimal":      {640 << 20, "640 MiB"},
		"rounding does not add a digit":     {99<<30 + 1<<30 - 1, "100 GiB"},
		"rounding up goes to the next unit": {1<<40 - 1, "1.0 TiB"},
		"the largest number":                {1<<63 - 1, "8.0 EiB"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := Bytes(tc.n)

			g.Expect(got).To(Equal(tc.want))
			g.Expect(len(got)).To(BeNumerically("<=", 8))
		})
	}
}

func TestElapsed(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	g.Expect(Elapsed(-time.Second)).To(Equal("0s"))
	g.Expect(Elapsed(59*time.Second + 900*time.Millisecond)).To(Equal("59s"))
	g.Expect(Elapsed(125 * time.Second)).To(Equal("2m5s"))
	g.Expect(Elapsed(200 * time.Minute)).To(Equal("3h20m"))
}

func TestOneLineHasNoCommandsToTheTerminal(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	got := OneLine("a\r\nb\x1b[2Jc\u009b\tü\n")

	g.Expect(got).To(Equal("a; b [2Jc  ü"))
	g.Expect(strings.ContainsAny(got, "\x1b\u009b\n")).To(BeFalse())
}

func condition(typ string, status metav1.ConditionStatus, reason string) metav1.Condition {
	return metav1.Condition{Type: typ, Status: status, Reason: reason, Message: "because"}
}

func TestWhyOf(t *testing.T) {
	t.Parallel()
	const unknown, no, yes = metav1.ConditionUnknown, metav1.ConditionFalse, metav1.ConditionTrue
	tests := map[string]struct {
		conditions []metav1.Condition
		want       Why
	}{
		"no conditions say nothing": {},
		"what is wrong beats what goes on": {
			conditions: []metav1.Condition{
				condition(velerov1.ConditionCompleted, unknown, velerov1.ReasonCollecting),
				condition(velerov1.ConditionUploaded, no, velerov1.ReasonStorageUnavailable),
			},
			want: Why{Reason: velerov1.ReasonStorageUnavailable, Message: "because", Problem: true},
		},
		"the step that goes on beats the summary": {
			conditions: []metav1.Condition{
				condition(velerov1.ConditionCompleted, unknown, velerov1.ReasonCollecting),
				condition(velerov1.ConditionItemsCollected, yes, velerov1.ReasonSucceeded),
				condition(velerov1.ConditionVolumesMoved, unknown, velerov1.ReasonWaitingForVolumes),
			},
			want: Why{Reason: velerov1.ReasonWaitingForVolumes, Message: "because"},
		},
		"a mover that is not ready yet is no problem": {
			conditions: []metav1.Condition{condition(velerov1.ConditionMoverReady, no, velerov1.ReasonPreparing)},
			want:       Why{Reason: velerov1.ReasonPreparing, Message: "because"},
		},
		"the summary tells most of a failure": {
			conditions: []metav1.Condition{
				condition(velerov1.ConditionVolumesMoved, no, velerov1.ReasonTimeout),
				condition(velerov1.ConditionCompleted, no, velerov1.ReasonPartiallyFailed),
			},
			want: Why{Reason: velerov1.ReasonPartiallyFailed, Message: "because", Problem: true},
		},
		"the summary tells most of a success": {
			conditions: []metav1.Condition{
				condition(velerov1.ConditionCompleted, yes, velerov1.ReasonSucceeded),
				condition(velerov1.ConditionMoverReady, yes, velerov1.ReasonMoving),
			},
			want: Why{Reason: velerov1.ReasonSucceeded, Message: "because"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			g.Expect(WhyOf(tc.conditions)).To(Equal(tc.want))
		})
	}
}
