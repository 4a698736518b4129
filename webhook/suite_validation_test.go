package webhook_test

import (
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/configmaps"
)

var configMapNames = configmaps.Names{NodeAgent: "node-agent-config", Repository: `odd"name`}

// said collects what kubectl would print.
type said struct {
	mu    sync.Mutex
	texts []string // guarded by mu
}

func (s *said) HandleWarningHeader(_ int, _, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts = append(s.texts, text)
}

// take returns what was said since the last time.
func (s *said) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	texts := s.texts
	s.texts = nil
	return texts
}

// heard returns a client that keeps warnings.
func heard(t *testing.T, config *rest.Config) (client.Client, *said) {
	t.Helper()
	warnings := &said{}
	cfg := rest.CopyConfig(config)
	cfg.WarningHandler = warnings
	c, err := client.New(cfg, client.Options{})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return c, warnings
}

func configMapOf(name string, labels, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: installNamespace, Name: name, Labels: labels}, Data: data}
}

func testValidation(t *testing.T, c client.Client) {
	t.Helper()
	g := NewWithT(t)
	refused := func(err error, parts ...string) {
		t.Helper()
		g.Expect(apierrors.IsInvalid(err)).To(BeTrue(), "%v", err)
		for _, part := range parts {
			g.Expect(err).To(MatchError(ContainSubstring(part)))
		}
	}
	broken := map[string]string{"x": `{"podResources":{"cpuLimit":"much"}}`}

	refused(c.Create(t.Context(), configMapOf("node-agent-config", nil, broken)), `podResources.cpuLimit: Invalid value: "much"`)
	refused(c.Create(t.Context(), configMapOf("any", map[string]string{velerov1.ConfigLabel: velerov1.ConfigNodeAgent}, broken)), "podResources.cpuLimit")
	refused(c.Create(t.Context(), configMapOf("any", nil, map[string]string{"p": "version: v1\nvolumePolicies:\n- action: {type: keep}\n"})), "action.type")
	refused(c.Create(t.Context(), configMapOf("any",
		map[string]string{velerov1.PluginConfigLabel: "", velerov1.PodVolumeRestoreLabel: velerov1.RestoreItemActionKind}, map[string]string{"image": "x"})), "data.image")

	other := configMapOf("other", nil, broken)
	g.Expect(c.Create(t.Context(), other)).To(Succeed(), "nobody reads it")
	other.Labels = map[string]string{velerov1.ConfigLabel: velerov1.ConfigNodeAgent}
	refused(c.Update(t.Context(), other), "podResources.cpuLimit")
	elsewhere := configMapOf("node-agent-config", nil, broken)
	elsewhere.Namespace = newNamespace(t, c, nil)
	g.Expect(c.Create(t.Context(), elsewhere)).To(Succeed(), "another namespace")

	backup := &velerov1.Backup{ObjectMeta: metav1.ObjectMeta{Namespace: installNamespace, Name: "bad"}}
	backup.Spec.IncludedNamespaces, backup.Spec.ExcludedNamespaces = []string{"a"}, []string{"a"}
	refused(c.Create(t.Context(), backup), "spec.excludedNamespaces", "must not be in includedNamespaces too")
	synced := backup.DeepCopy()
	synced.Status.Phase = velerov1.BackupPhaseCompleted
	g.Expect(c.Create(t.Context(), synced)).To(Succeed(), "from a bucket")
	before := synced.DeepCopy()
	synced.Status.Warnings, synced.Spec.StorageLocation = 1, "x"
	g.Expect(c.Patch(t.Context(), synced, client.MergeFrom(before))).To(Succeed(), "it is over")

	schedule := &velerov1.Schedule{ObjectMeta: metav1.ObjectMeta{Namespace: installNamespace, Name: "s"}, Spec: velerov1.ScheduleSpec{Schedule: "@daily"}}
	g.Expect(c.Create(t.Context(), schedule)).To(Succeed())
	was := schedule.DeepCopy()
	schedule.Spec.Schedule = "sometimes"
	refused(c.Patch(t.Context(), schedule, client.MergeFrom(was)), `spec.schedule: Invalid value: "sometimes"`)
}

func testWarnings(t *testing.T, plain client.Client, config *rest.Config) {
	t.Helper()
	g := NewWithT(t)
	c, warnings := heard(t, config)
	namespace := newNamespace(t, plain, nil)
	pod := newPod(namespace, "web")
	pod.Annotations = map[string]string{velerov1.VolumesToBackupAnnotation: "data,dta"}
	unknown := ContainElement(HavePrefix("podkeep: the pod has no volumes named dta"))
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}, Annotations: pod.Annotations}, Spec: pod.Spec}
	meta := metav1.ObjectMeta{Namespace: namespace, Name: "web"}
	selector := &metav1.LabelSelector{MatchLabels: template.Labels}
	once := template.DeepCopy()
	once.Spec.RestartPolicy = corev1.RestartPolicyNever
	stateful := &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Selector: selector, Template: template}}
	stateful.Spec.Template.Spec.Volumes = nil
	stateful.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{{
		ObjectMeta: metav1.ObjectMeta{Name: "data", Annotations: map[string]string{velerov1.ClaimFSBackupAnnotation: velerov1.ClaimExclude}},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}}

	g.Expect(c.Create(t.Context(), pod)).To(Succeed())
	g.Expect(warnings.take()).To(And(HaveLen(1), unknown))
	for _, workload := range []client.Object{
		&appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Selector: selector, Template: template}},
		&appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Selector: selector, Template: template}},
		&appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: template}},
		stateful,
		&batchv1.Job{ObjectMeta: meta, Spec: batchv1.JobSpec{Template: *once}},
		&batchv1.CronJob{ObjectMeta: meta, Spec: batchv1.CronJobSpec{
			Schedule: "@daily", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: *once}},
		}},
	} {
		g.Expect(c.Create(t.Context(), workload)).To(Succeed())
		texts := warnings.take()
		g.Expect(texts).To(unknown, "%T", workload)
		if workload == stateful {
			g.Expect(texts).To(ContainElement(ContainSubstring("its claim data-web-0 is annotated podkeep.io/fs-backup=exclude, which wins")))
		}
		if workload == stateful {
			plain := stateful.DeepCopy()
			plain.ObjectMeta = metav1.ObjectMeta{Namespace: namespace, Name: "plain"}
			plain.Spec.Template.Annotations = nil
			plain.Spec.VolumeClaimTemplates[0].Annotations[velerov1.ClaimFSBackupAnnotation] = "maybe"
			g.Expect(c.Create(t.Context(), plain)).To(Succeed())
			g.Expect(warnings.take()).To(ContainElement(ContainSubstring("claim data-plain-0 of volume data has the annotation podkeep.io/fs-backup=maybe")))
		}
		workload.SetLabels(map[string]string{"c": "d"})
		g.Expect(c.Update(t.Context(), workload)).To(Succeed())
		g.Expect(warnings.take()).NotTo(unknown, "%T: nothing of the pods has changed", workload)
	}
}
