package maintenance

import (
	"cmp"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
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
	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/repositories"
)

// world is an API server without controllers; the test plays that of Jobs.
type world struct {
	*WithT
	client     client.Client
	clock      *clocktesting.FakePassiveClock
	reconciler *Reconciler
}

// Resolve implements Resolver.
func (w *world) Resolve(context.Context, *velerov1.BackupStorageLocation) (location.Location, error) {
	return location.Location{CredentialsFile: "/credentials/cloud"}, nil
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if _, ok := os.LookupEnv("KUBEBUILDER_ASSETS"); !ok {
		t.Skip("KUBEBUILDER_ASSETS does not name a folder with kube-apiserver and etcd, so maintenance is not tried on an API server")
	}
	w := &world{WithT: NewWithT(t), clock: clocktesting.NewFakePassiveClock(time.Now())}
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
	server := serverPod()
	server.Spec.Tolerations = nil
	for _, o := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "velero"}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "velero"}}, bsl(), server,
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "settings"}, Data: map[string]string{"global": `{"keepLatestMaintenanceJobs":2}`}},
	} {
		w.Expect(w.client.Create(t.Context(), o)).To(Succeed(), o.GetName())
	}
	w.reconciler = &Reconciler{
		Client: w.client, Reader: w.client, Locations: w, Clock: w.clock, Recorder: events.NewFakeRecorder(100),
		Namespace: "velero", PodName: "velero-x", ConfigMap: "settings", Credentials: key("cloud-credentials", "cloud"),
	}
	w.Expect(w.reconciler.prepare()).To(Succeed())
	return w
}

// repository creates one that is due in an hour.
func (w *world) repository(t *testing.T, namespace string) *velerov1.BackupRepository {
	t.Helper()
	r := repositories.New("velero", namespace, "default")
	r.Spec.MaintenanceFrequency = metav1.Duration{Duration: time.Hour}
	r.Status.Phase = velerov1.BackupRepositoryPhaseReady
	r.Status.LastMaintenanceTime = &metav1.Time{Time: w.clock.Now().Truncate(time.Second)}
	w.Expect(w.client.Create(t.Context(), r)).To(Succeed())
	return r
}

func (w *world) reconcile(t *testing.T, r *velerov1.BackupRepository) time.Duration {
	t.Helper()
	result, err := w.reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(r)})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.client.Get(t.Context(), client.ObjectKeyFromObject(r), r)).To(Succeed())
	return result.RequeueAfter
}

func (w *world) jobs(t *testing.T, r *velerov1.BackupRepository) []batchv1.Job {
	t.Helper()
	list := &batchv1.JobList{}
	w.Expect(w.client.List(t.Context(), list, client.MatchingLabels{velerov1.RepositoryNameLabel: r.Name})).To(Succeed())
	return list.Items
}

// end ends the unfinished Jobs of a repository; message is that of a failure.
func (w *world) end(t *testing.T, r *velerov1.BackupRepository, message string) {
	t.Helper()
	for _, j := range w.jobs(t, r) {
		if isFinished(&j) {
			continue
		}
		now := metav1.Time{Time: w.clock.Now().Truncate(time.Second)}
		before := batchv1.JobSuccessCriteriaMet
		after := batchv1.JobComplete
		j.Status.StartTime, j.Status.CompletionTime, j.Status.Succeeded = cmp.Or(j.Status.StartTime, &now), &now, 1
		j.Status.Active, j.Status.Ready = 0, nil
		if message != "" {
			before, after = batchv1.JobFailureTarget, batchv1.JobFailed
			j.Status.CompletionTime, j.Status.Succeeded, j.Status.Failed = nil, 0, 1
			w.pod(t, j, message)
		}
		for _, c := range []batchv1.JobConditionType{before, after} {
			j.Status.Conditions = append(j.Status.Conditions, batchv1.JobCondition{Type: c, Status: corev1.ConditionTrue, LastTransitionTime: now})
		}
		w.Expect(w.client.Status().Update(t.Context(), &j)).To(Succeed())
	}
}

func (w *world) pod(t *testing.T, j batchv1.Job, message string) {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: j.Name, Labels: map[string]string{batchv1.JobNameLabel: j.Name}}, Spec: j.Spec.Template.Spec,
	}
	w.Expect(w.client.Create(t.Context(), pod)).To(Succeed())
	pod.Status = terminatedPod(message).Status
	w.Expect(w.client.Status().Update(t.Context(), pod)).To(Succeed())
}

func (w *world) advance(d time.Duration) { w.clock.SetTime(w.clock.Now().Add(d)) }

func TestMaintenanceOnAnAPIServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.repository(t, "shop")

	w.Expect(w.reconcile(t, r)).To(BeNumerically("~", time.Hour, time.Second))
	w.Expect(w.jobs(t, r)).To(BeEmpty())

	w.advance(time.Hour + time.Second)
	w.reconcile(t, r)
	w.Expect(w.jobs(t, r)).To(HaveLen(1))
	job := w.jobs(t, r)[0]
	job.Status.StartTime, job.Status.Active, job.Status.Ready = &job.CreationTimestamp, 1, ptr.To[int32](1)
	w.Expect(w.client.Status().Update(t.Context(), &job)).To(Succeed())
	w.reconcile(t, r)
	w.Expect(w.jobs(t, r)).To(HaveLen(1), "one is enough")
	w.Expect(job.Spec.Template.Spec.AutomountServiceAccountToken).To(HaveValue(BeFalse()))
	w.Expect(strings.Join(job.Spec.Template.Spec.Containers[0].Args, " ")).NotTo(ContainSubstring("secret"))

	w.end(t, r, "")
	w.reconcile(t, r)
	w.Expect(r.Status.RecentMaintenance).To(HaveLen(1))
	w.Expect(r.Status.RecentMaintenance[0].Result).To(Equal(succeeded))
	w.Expect(r.Status.LastMaintenanceTime.Time).To(BeTemporally("~", w.clock.Now(), time.Second))
	w.Expect(w.reconcile(t, r)).To(BeNumerically("~", time.Hour, time.Second), "the next is not due")

	w.advance(time.Hour + time.Second)
	w.reconcile(t, r)
	w.end(t, r, `{"totalBytes":0,"error":"storage is unavailable"}`)
	w.reconcile(t, r)
	w.Expect(r.Status.RecentMaintenance[1].Message).To(Equal("storage is unavailable"))
	w.Expect(w.reconcile(t, r)).To(BeNumerically("~", 5*time.Minute, time.Second))

	w.advance(5*time.Minute + time.Second)
	w.reconcile(t, r)
	w.Expect(w.jobs(t, r)).To(HaveLen(3))
	w.end(t, r, "")
	w.reconcile(t, r)
	w.Expect(r.Status.RecentMaintenance).To(HaveLen(3))
	w.Expect(w.jobs(t, r)).To(HaveLen(2), "the oldest goes")
}

func TestFewAreMaintainedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var all []*velerov1.BackupRepository
	for _, namespace := range []string{"a", "b", "c", "d", "e"} {
		all = append(all, w.repository(t, namespace))
	}
	w.advance(time.Hour + time.Minute)

	for _, r := range all {
		w.reconcile(t, r)
	}
	for i, r := range all {
		w.Expect(w.jobs(t, r)).To(HaveLen(map[bool]int{true: 1, false: 0}[i < maxJobs]), r.Name)
	}

	w.end(t, all[0], "")
	ended := w.jobs(t, all[0])[0]
	w.Expect(w.reconciler.ofJob(t.Context(), &ended)).To(HaveLen(2), "its own repository, and one that waits")
	w.reconcile(t, all[0])
	w.reconcile(t, all[4])
	w.Expect(w.jobs(t, all[4])).To(HaveLen(1))
}
