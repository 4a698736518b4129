package schedule

import (
	"errors"
	"os"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/config/crd"
)

// world is an API server without controllers, and a clock that the test moves.
type world struct {
	*WithT
	client     client.Client
	clock      *clocktesting.FakePassiveClock
	reconciler *Reconciler
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if _, ok := os.LookupEnv("KUBEBUILDER_ASSETS"); !ok {
		t.Skip("KUBEBUILDER_ASSETS does not name a folder with kube-apiserver and etcd, so schedules are not tried on an API server")
	}
	w := &world{WithT: NewWithT(t)}
	crds, err := crd.All()
	w.Expect(err).NotTo(HaveOccurred())
	env := &envtest.Environment{CRDs: crds}
	config, err := env.Start()
	w.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { w.Expect(env.Stop()).To(Succeed()) })
	scheme := runtime.NewScheme()
	w.Expect(errors.Join(clientgoscheme.AddToScheme(scheme), velerov1.AddToScheme(scheme))).To(Succeed())
	w.client, err = client.New(config, client.Options{Scheme: scheme})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "velero"}})).To(Succeed())
	return w
}

// schedule creates a Schedule, and starts a server whose clock shows its creation.
func (w *world) schedule(t *testing.T, name string, mods ...mod) *velerov1.Schedule {
	t.Helper()
	s := &velerov1.Schedule{ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: name}, Spec: velerov1.ScheduleSpec{Schedule: "@every 1h"}}
	for _, m := range mods {
		m(s)
	}
	w.Expect(w.client.Create(t.Context(), s)).To(Succeed())
	w.clock = clocktesting.NewFakePassiveClock(s.CreationTimestamp.Time)
	w.restartServer()
	return s
}

func (w *world) restartServer() {
	w.reconciler = &Reconciler{Client: w.client, Reader: w.client, Clock: w.clock, Recorder: events.NewFakeRecorder(100), Namespace: "velero"}
}

func (w *world) advance(d time.Duration) { w.clock.SetTime(w.clock.Now().Add(d)) }

// reconcile looks at the schedule once.
func (w *world) reconcile(t *testing.T, s *velerov1.Schedule) ctrl.Result {
	t.Helper()
	result, err := w.reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(s)})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.client.Get(t.Context(), client.ObjectKeyFromObject(s), s)).To(Succeed())
	return result
}

func (w *world) backups(t *testing.T, s *velerov1.Schedule) []velerov1.Backup {
	t.Helper()
	list := &velerov1.BackupList{}
	w.Expect(w.client.List(t.Context(), list, client.MatchingLabels{velerov1.ScheduleNameLabel: s.Name})).To(Succeed())
	return list.Items
}

// end ends all backups.
func (w *world) end(t *testing.T, s *velerov1.Schedule, phase velerov1.BackupPhase) {
	t.Helper()
	for _, b := range w.backups(t, s) {
		b.Status.Phase = phase
		w.Expect(w.client.Update(t.Context(), &b)).To(Succeed())
	}
}

func TestSchedulesOnAnAPIServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)

	t.Run("a backup is made when it is due, and then the next", func(t *testing.T) {
		s := w.schedule(t, "hourly")
		made := s.CreationTimestamp.Time
		w.Expect(w.reconcile(t, s).RequeueAfter).To(Equal(time.Hour))
		w.Expect(s.Status.Phase).To(Equal(velerov1.SchedulePhaseEnabled))
		w.Expect(w.backups(t, s)).To(BeEmpty())

		w.advance(time.Hour + 3*time.Second)
		w.Expect(w.reconcile(t, s).RequeueAfter).To(Equal(time.Hour - 3*time.Second))
		w.Expect(w.backups(t, s)).To(HaveLen(1))
		w.Expect(w.backups(t, s)[0].Name).To(Equal("hourly-" + made.Add(time.Hour).UTC().Format("20060102150405")))
		w.Expect(s.Status.LastBackup.Time).To(BeTemporally("==", made.Add(time.Hour)))

		w.end(t, s, velerov1.BackupPhaseCompleted)
		w.advance(time.Hour)
		w.reconcile(t, s)
		w.Expect(w.backups(t, s)).To(HaveLen(2))
	})

	t.Run("after a long absence one backup is made", func(t *testing.T) {
		s := w.schedule(t, "absent")
		w.advance(100*time.Hour + time.Minute)
		w.reconcile(t, s)
		w.end(t, s, velerov1.BackupPhaseCompleted)
		w.Expect(w.reconcile(t, s).RequeueAfter).To(Equal(time.Hour - time.Minute))
		w.Expect(w.backups(t, s)).To(HaveLen(1))
	})

	t.Run("a server that died before it wrote the status down makes no second backup", func(t *testing.T) {
		s := w.schedule(t, "crash")
		w.advance(time.Hour)
		w.reconcile(t, s)
		s.Status.LastBackup = nil
		w.Expect(w.client.Update(t.Context(), s)).To(Succeed())
		w.restartServer()
		w.advance(time.Minute)

		w.reconcile(t, s)

		w.Expect(w.backups(t, s)).To(HaveLen(1))
		w.Expect(s.Status.LastBackup).NotTo(BeNil())
	})

	t.Run("a backup that runs holds the next up, in each phase before its end", func(t *testing.T) {
		s := w.schedule(t, "slow")
		w.advance(time.Hour)
		w.reconcile(t, s)
		w.advance(time.Hour)
		for _, phase := range []velerov1.BackupPhase{"", "New", "Queued", "ReadyToStart", "InProgress"} {
			w.end(t, s, phase)
			w.Expect(w.reconcile(t, s).RequeueAfter).To(BeZero(), "its end is an event")
			w.Expect(w.backups(t, s)).To(HaveLen(1), string(phase))
			w.Expect(s.Status.Conditions[0].Reason).To(Equal(velerov1.ReasonWaitingForBackup))
		}

		w.end(t, s, velerov1.BackupPhaseFailed)
		w.reconcile(t, s)

		w.Expect(w.backups(t, s)).To(HaveLen(2))
	})

	t.Run("a backup of the same name from elsewhere does not count", func(t *testing.T) {
		s := w.schedule(t, "shared")
		w.advance(time.Hour)
		name := "shared-" + w.clock.Now().UTC().Format("20060102150405")
		foreign := &velerov1.Backup{
			ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: name, Labels: map[string]string{velerov1.ScheduleNameLabel: "shared"}},
			Status:     velerov1.BackupStatus{Phase: velerov1.BackupPhaseCompleted},
		}
		w.Expect(w.client.Create(t.Context(), foreign)).To(Succeed())

		w.reconcile(t, s)

		w.Expect(w.backups(t, s)).To(HaveLen(2))
		w.Expect(s.Status.LastBackup.Time).To(BeTemporally("==", w.clock.Now()))
	})

	t.Run("a skip is done once", func(t *testing.T) {
		s := w.schedule(t, "skipped", skips)
		w.advance(90 * time.Minute)
		w.Expect(w.reconcile(t, s).RequeueAfter).To(Equal(time.Hour))
		w.Expect(s.Spec.SkipImmediately).To(Equal(ptr.To(false)))
		w.Expect(s.Status.LastSkipped.Time).To(BeTemporally("==", w.clock.Now()))
		w.Expect(w.backups(t, s)).To(BeEmpty())

		w.advance(time.Hour)
		w.reconcile(t, s)
		w.Expect(w.backups(t, s)).To(HaveLen(1))
	})

	t.Run("a bad expression is told, and repaired", func(t *testing.T) {
		s := w.schedule(t, "bad", func(s *velerov1.Schedule) { s.Spec.Schedule = "whenever" })
		w.reconcile(t, s)
		w.Expect(s.Status.Phase).To(Equal(velerov1.SchedulePhaseFailedValidation))
		w.Expect(s.Status.ValidationErrors).To(ConsistOf(ContainSubstring(`"whenever"`)))

		s.Spec.Schedule = "@every 1h"
		w.Expect(w.client.Update(t.Context(), s)).To(Succeed())
		w.reconcile(t, s)
		w.Expect(s.Status.Phase).To(Equal(velerov1.SchedulePhaseEnabled))
		w.Expect(s.Status.ValidationErrors).To(BeEmpty())
	})
}
