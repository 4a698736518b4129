package serverstatus

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

var t0 = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

func answered(at time.Time) *velerov1.ServerStatusRequest {
	return &velerov1.ServerStatusRequest{Status: velerov1.ServerStatusRequestStatus{
		Phase: velerov1.ServerStatusRequestPhaseProcessed, ProcessedTimestamp: &metav1.Time{Time: at},
	}}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		request *velerov1.ServerStatusRequest
		want    step
	}{
		"a new one is answered":       {&velerov1.ServerStatusRequest{}, step{actAnswer, lifetime}},
		"one in phase New, too":       {&velerov1.ServerStatusRequest{Status: velerov1.ServerStatusRequestStatus{Phase: "New"}}, step{actAnswer, lifetime}},
		"an answered one stays":       {answered(t0.Add(-20 * time.Second)), step{actNothing, 40 * time.Second}},
		"after a minute it goes":      {answered(t0.Add(-time.Minute)), step{actDelete, 0}},
		"one that goes away is left":  {&velerov1.ServerStatusRequest{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &metav1.Time{Time: t0}}}, step{actNothing, 0}},
		"an answer without its time":  {&velerov1.ServerStatusRequest{Status: velerov1.ServerStatusRequestStatus{Phase: "Processed"}}, step{actAnswer, lifetime}},
		"an answer of a fast clock's": {answered(t0.Add(time.Second)), step{actNothing, 61 * time.Second}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			NewWithT(t).Expect(plan(observed{request: tc.request, now: t0})).To(Equal(tc.want))
		})
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r := &velerov1.ServerStatusRequest{}

	report(observed{request: r, now: t0}, step{action: actAnswer}, "v1.2.3")

	g.Expect(r.Status.Phase).To(Equal(velerov1.ServerStatusRequestPhaseProcessed))
	g.Expect(r.Status.ProcessedTimestamp.Time).To(Equal(t0))
	g.Expect(r.Status.ServerVersion).To(Equal("v1.2.3"))
	g.Expect(r.Status.Plugins).To(ContainElements(
		velerov1.PluginInfo{Name: "velero.io/aws", Kind: "ObjectStore"},
		velerov1.PluginInfo{Name: "velero.io/pod-volume-restore", Kind: "RestoreItemAction"},
	))
	g.Expect(plugins()).To(Equal(r.Status.Plugins), "the order is always the same")
}
