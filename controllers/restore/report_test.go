package restore

import (
	"errors"
	"io"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/itemlog"
	"github.com/podkeep/podkeep/internal/objectstore"
	"github.com/podkeep/podkeep/internal/outcome"
)

func TestReport(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	tests := map[string]struct {
		restore       *velerov1.Restore
		step          step
		err           error
		wantPhase     velerov1.RestorePhase
		wantCondition string // the type to look at
		wantReason    string
		wantFailure   string
	}{
		"a start is in progress": {
			restore: restore(), step: step{action: actStart, reason: velerov1.ReasonRestoringItems},
			wantPhase: velerov1.RestorePhaseInProgress, wantCondition: velerov1.ConditionCompleted, wantReason: velerov1.ReasonRestoringItems,
		},
		"a bad spec fails validation": {
			restore: restore(), step: step{action: actReject, reason: velerov1.ReasonInvalidSpec, message: "a; b", problems: []string{"a", "b"}},
			wantPhase: velerov1.RestorePhaseFailedValidation, wantCondition: velerov1.ConditionCompleted, wantReason: velerov1.ReasonInvalidSpec,
		},
		"a pass that has to be repeated says why": {
			restore: restore(started), step: step{action: actRestoreItems}, err: outcome.Waitf(velerov1.ReasonWebhookUnavailable, time.Second, "down"),
			wantPhase: velerov1.RestorePhaseInProgress, wantCondition: velerov1.ConditionItemsRestored, wantReason: velerov1.ReasonWebhookUnavailable,
		},
		"an error without class is retried and shown": {
			restore: restore(started), step: step{action: actRestoreItems}, err: boom,
			wantPhase: velerov1.RestorePhaseInProgress, wantCondition: velerov1.ConditionItemsRestored, wantReason: velerov1.ReasonRetrying,
		},
		"storage that fails is remembered": {
			restore: restore(started), step: step{action: actRestoreItems}, err: waitForStorage("reading", objectstore.ErrUnavailable),
			wantPhase: velerov1.RestorePhaseInProgress, wantCondition: velerov1.ConditionUploaded, wantReason: velerov1.ReasonStorageUnavailable,
		},
		"a terminal error before the items ends the restore as Failed": {
			restore: restore(started), step: step{action: actRestoreItems}, err: outcome.Terminalf(velerov1.ReasonArchiveUnreadable, "damaged"),
			wantPhase: velerov1.RestorePhaseFailed, wantCondition: velerov1.ConditionCompleted, wantReason: velerov1.ReasonArchiveUnreadable, wantFailure: "damaged",
		},
		"giving up after the items leaves what is there": {
			restore: restore(itemsRestored), step: step{action: actFail, reason: velerov1.ReasonStorageUnavailable, message: "storage is gone"},
			wantPhase: velerov1.RestorePhasePartiallyFailed, wantCondition: velerov1.ConditionCompleted, wantReason: velerov1.ReasonStorageUnavailable,
			wantFailure: "storage is gone",
		},
		"waiting says for what": {
			restore: restore(itemsRestored), step: step{action: actNothing, reason: velerov1.ReasonWaitingForVolumes, message: "waiting"},
			wantPhase: velerov1.RestorePhaseInProgress, wantCondition: velerov1.ConditionVolumesMoved, wantReason: velerov1.ReasonWaitingForVolumes,
		},
		"a finish without errors is Completed": {
			restore: restore(itemsRestored), step: step{action: actFinish},
			wantPhase: velerov1.RestorePhaseCompleted, wantCondition: velerov1.ConditionCompleted, wantReason: velerov1.ReasonSucceeded,
		},
		"a finish with errors is not": {
			restore: restore(itemsRestored, func(r *velerov1.Restore) { r.Status.Errors = 1 }), step: step{action: actFinish},
			wantPhase: velerov1.RestorePhasePartiallyFailed, wantCondition: velerov1.ConditionCompleted, wantReason: velerov1.ReasonPartiallyFailed,
		},
		"a cancellation that is being carried out says who asked": {
			restore: restore(started), step: step{action: actCancelVolumes, reason: velerov1.ReasonCanceling, message: "canceled by ann"},
			wantPhase: velerov1.RestorePhaseInProgress, wantCondition: velerov1.ConditionCancelRequested, wantReason: velerov1.ReasonCanceling,
		},
		"a canceled restore is Failed, whatever it has made": {
			restore: restore(itemsRestored), step: step{action: actFinishCanceled, reason: velerov1.ReasonCanceled, message: "canceled by ann"},
			wantPhase: velerov1.RestorePhaseFailed, wantCondition: velerov1.ConditionCompleted, wantReason: velerov1.ReasonCanceled,
			wantFailure: "canceled by ann",
		},
		"a timeout is in the conditions": {
			restore: restore(itemsRestored, func(r *velerov1.Restore) { r.Status.Errors = 1 }), step: step{action: actFinish, reason: velerov1.ReasonTimeout},
			wantPhase: velerov1.RestorePhasePartiallyFailed, wantCondition: velerov1.ConditionVolumesMoved, wantReason: velerov1.ReasonTimeout,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			report(tc.restore, t0, tc.step, tc.err)
			once := tc.restore.DeepCopy()
			report(tc.restore, t0.Add(time.Hour), step{action: actNothing}, nil)

			g.Expect(tc.restore.Status.Phase).To(Equal(tc.wantPhase))
			c := meta.FindStatusCondition(tc.restore.Status.Conditions, tc.wantCondition)
			g.Expect(c).NotTo(BeNil())
			g.Expect(c.Reason).To(Equal(tc.wantReason))
			g.Expect(tc.restore.Status.FailureReason).To(Equal(tc.wantFailure))
			g.Expect(tc.restore.IsFinished()).To(Equal(tc.restore.Status.CompletionTimestamp != nil))
			g.Expect(tc.restore).To(Equal(once), "doing nothing changes nothing")
		})
	}
}

func TestStorageThatWorksAgainIsForgotten(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r := restore(started, storageFails)

	report(r, t0, step{action: actRestoreItems}, nil)

	g.Expect(storageCondition(r)).To(BeNil())
}

func TestPostponeReason(t *testing.T) {
	t.Parallel()
	pods, widgets := schema.GroupResource{Resource: "pods"}, schema.GroupKind{Group: "example.com", Kind: "Widget"}
	terminating := apierrors.NewForbidden(pods, "db-0", errors.New("unable to create new content in namespace shop because it is being terminated"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	tests := map[string]struct {
		err  error
		kind schema.GroupVersionKind // of the item; a ConfigMap's by default
		want string
	}{
		"a webhook that does not answer": {
			err:  apierrors.NewInternalError(errors.New(`failed calling webhook "gate.podkeep.io": connect: connection refused`)),
			kind: podKind, want: velerov1.ReasonWebhookUnavailable,
		},
		"our webhook does not know the restore yet": {
			err:  apierrors.NewForbidden(pods, "db-0", errors.New(`admission webhook "gate.podkeep.io" denied the request: unknown restore`)),
			kind: podKind, want: velerov1.ReasonWebhookUnavailable,
		},
		"another webhook refuses for good": {
			err:  apierrors.NewForbidden(pods, "db-0", errors.New(`admission webhook "policy.example.com" denied the request: no`)),
			kind: podKind,
		},
		"a webhook of another kind may be restored itself, and wait for its pods": {
			err: apierrors.NewInternalError(errors.New(`failed calling webhook "x": refused`)), want: velerov1.ReasonRetrying,
		},
		"what our webhooks refuse of other kinds stays wrong": {
			err: apierrors.NewForbidden(pods, "x", errors.New(`admission webhook "config.podkeep.io" denied the request: no`)),
		},
		"a namespace that is being deleted":   {err: terminating, want: velerov1.ReasonNamespaceTerminating},
		"an API server that is overloaded":    {err: apierrors.NewTooManyRequests("slow down", 1), want: velerov1.ReasonRetrying},
		"an API that is not served now":       {err: apierrors.NewServiceUnavailable("later"), want: velerov1.ReasonRetrying},
		"an API server that is stopped":       {err: io.ErrUnexpectedEOF, want: velerov1.ReasonRetrying},
		"an etcd that does not answer":        {err: apierrors.NewInternalError(errors.New("etcdserver: request timed out")), want: velerov1.ReasonRetrying},
		"an object in the way that is gone":   {err: existingUnreadError{apierrors.NewNotFound(pods, "db-0")}, want: velerov1.ReasonRetrying},
		"an invalid object stays invalid":     {err: apierrors.NewBadRequest("no"), kind: podKind},
		"a namespace that is not there":       {err: apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "shop")},
		"a kind of this restore comes soon":   {err: &meta.NoKindMatchError{GroupKind: widgets}, kind: widgets.WithVersion("v1"), want: velerov1.ReasonKindNotServed},
		"another version of it does not":      {err: &meta.NoKindMatchError{GroupKind: widgets}, kind: widgets.WithVersion("v9")},
		"nor does a kind that nobody defines": {err: &meta.NoKindMatchError{}, kind: schema.GroupVersionKind{Group: "x", Version: "v1", Kind: "X"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.kind.Empty() {
				tc.kind = schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}
			}
			i := item{prepared: &unstructured.Unstructured{}}
			i.prepared.SetGroupVersionKind(tc.kind)
			p := &pass{definitions: []definition{{kind: widgets, versions: []string{"v1"}}}}

			NewWithT(t).Expect(p.postponeReason(i, tc.err)).To(Equal(tc.want))
		})
	}
}

func TestWaitNamesWhatIsTriedAgain(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	p := &pass{restore: restore(started), now: t0.Add(40 * time.Second)}
	g.Expect(p.wait()).To(Succeed(), "nothing is postponed")
	for _, pod := range []string{"db-1", "db-0"} {
		p.postponed = append(p.postponed, postponement{reason: velerov1.ReasonWebhookUnavailable,
			entry: itemlog.Entry{Namespace: "shop", Resource: "pods", Name: pod, Err: errors.New("refused")}})
	}

	err := p.wait()

	g.Expect(outcome.Reason(err)).To(Equal(velerov1.ReasonWebhookUnavailable))
	g.Expect(err).To(MatchError("trying again: pods shop/db-0, pods shop/db-1: refused"))
	result, _ := outcome.Result(err)
	g.Expect(result.RequeueAfter).To(Equal(10*time.Second), "a quarter of the restore's age")
}

func TestExplainUntaken(t *testing.T) {
	t.Parallel()
	v := volume("db-0", "data")
	tests := map[string]struct {
		pod  *corev1.Pod
		want untaken
	}{
		"the pod is gone":       {want: untaken{podGone: true}},
		"the pod is another":    {pod: waitingPod(func(p *corev1.Pod) { p.UID = "other" }), want: untaken{podGone: true}},
		"the pod is leaving":    {pod: waitingPod(func(p *corev1.Pod) { p.DeletionTimestamp = deletedNow() }), want: untaken{podGone: true}},
		"no node fits":          {pod: waitingPod(unschedulable), want: untaken{message: "pod shop/db-0 is not scheduled: 0/1 nodes are available"}},
		"nobody has looked yet": {pod: waitingPod(), want: untaken{message: "pod shop/db-0 is not scheduled"}},
		"the image is missing": {
			pod:  waitingPod(scheduled, gateState(corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "not found"}})),
			want: untaken{message: "restore-wait of pod shop/db-0 does not run: ImagePullBackOff: not found"},
		},
		"the gate waits and no agent comes": {
			pod:  waitingPod(scheduled, gateState(corev1.ContainerState{Running: &corev1.ContainerStateRunning{}})),
			want: untaken{message: "no node agent has taken pod shop/db-0; check the node-agent pod of node n1"},
		},
		"the gate has failed": {
			pod:  waitingPod(scheduled, gateState(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3}})),
			want: untaken{message: "restore-wait of pod shop/db-0 has ended with exit code 3"},
		},
		"the node has no agent": {
			pod: waitingPod(func(p *corev1.Pod) { p.Spec.NodeName = "n2" }),
			want: untaken{message: "node-agent pod is not running in node n2, so nobody fills the volumes of pod shop/db-0; " +
				"see the pods with the label role=node-agent in namespace velero"},
		},
		"volumes are being mounted": {pod: waitingPod(scheduled), want: untaken{message: "pod shop/db-0 is being prepared on node n1; see its events"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			agents := map[string]bool{"n1": true, "ended": false}

			NewWithT(t).Expect(explainUntaken(&v, tc.pod, agents)).To(Equal(tc.want))
		})
	}
}
