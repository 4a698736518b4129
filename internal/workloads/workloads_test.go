package workloads

import (
	"encoding/json"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/selection"
)

func podTemplate() corev1.PodTemplateSpec {
	t := corev1.PodTemplateSpec{}
	t.Annotations = map[string]string{velerov1.VolumesToBackupAnnotation: "data"}
	t.Spec.Volumes = []corev1.Volume{{Name: "data"}}
	return t
}

func meta() metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "shop", Name: "web"} }

func TestDecode(t *testing.T) {
	t.Parallel()
	apps := func(kind string) schema.GroupKind { return schema.GroupKind{Group: "apps", Kind: kind} }
	batch := func(kind string) schema.GroupKind { return schema.GroupKind{Group: "batch", Kind: kind} }
	for name, tc := range map[string]struct {
		kind     schema.GroupKind
		workload any
		wantName string
	}{
		"a pod":        {schema.GroupKind{Kind: "Pod"}, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", Annotations: podTemplate().Annotations}, Spec: podTemplate().Spec}, "web"},
		"a Deployment": {apps("Deployment"), &appsv1.Deployment{ObjectMeta: meta(), Spec: appsv1.DeploymentSpec{Template: podTemplate()}}, ""},
		"a ReplicaSet": {apps("ReplicaSet"), &appsv1.ReplicaSet{ObjectMeta: meta(), Spec: appsv1.ReplicaSetSpec{Template: podTemplate()}}, ""},
		"a DaemonSet":  {apps("DaemonSet"), &appsv1.DaemonSet{ObjectMeta: meta(), Spec: appsv1.DaemonSetSpec{Template: podTemplate()}}, ""},
		"a Job":        {batch("Job"), &batchv1.Job{ObjectMeta: meta(), Spec: batchv1.JobSpec{Template: podTemplate()}}, ""},
		"a CronJob": {batch("CronJob"), &batchv1.CronJob{ObjectMeta: meta(), Spec: batchv1.CronJobSpec{
			JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: podTemplate()}},
		}}, ""},
		"a StatefulSet": {apps("StatefulSet"), &appsv1.StatefulSet{ObjectMeta: meta(), Spec: appsv1.StatefulSetSpec{Template: podTemplate()}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			raw, err := json.Marshal(tc.workload)
			g.Expect(err).NotTo(HaveOccurred())

			got, err := Decode(tc.kind, raw)

			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got.Pod.Namespace).To(Equal("shop"))
			g.Expect(got.Pod.Name).To(Equal(tc.wantName))
			g.Expect(got.Pod.Annotations).To(HaveKeyWithValue(velerov1.VolumesToBackupAnnotation, "data"))
			g.Expect(got.Pod.Spec.Volumes).To(HaveLen(1))
			g.Expect(got.Managed).To(BeFalse())
			g.Expect(Known(tc.kind)).To(BeTrue())
		})
	}
}

func TestAStatefulSetMakesClaims(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	s := &appsv1.StatefulSet{ObjectMeta: meta(), Spec: appsv1.StatefulSetSpec{Template: podTemplate()}}
	s.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{
		{ObjectMeta: metav1.ObjectMeta{Name: "data", Annotations: map[string]string{velerov1.ClaimFSBackupAnnotation: velerov1.ClaimExclude}}},
		{ObjectMeta: metav1.ObjectMeta{Name: "raw"}, Spec: corev1.PersistentVolumeClaimSpec{VolumeMode: ptr.To(corev1.PersistentVolumeBlock)}},
	}
	raw, err := json.Marshal(s)
	g.Expect(err).NotTo(HaveOccurred())

	got, err := Decode(schema.GroupKind{Group: "apps", Kind: "StatefulSet"}, raw)

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(got.Claims).To(Equal(map[string]selection.ClaimFacts{
		"data-web-0": {Wish: velerov1.ClaimExclude}, "raw-web-0": {Block: true},
	}))
	g.Expect(got.Pod.Spec.Volumes).To(HaveExactElements(
		HaveField("PersistentVolumeClaim.ClaimName", "data-web-0"), HaveField("PersistentVolumeClaim.ClaimName", "raw-web-0"),
	), "the claim's volume replaces the one of the same name")
}

func TestWhatAControllerMakesIsToldApart(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	got, err := Decode(schema.GroupKind{Group: "batch", Kind: "Job"}, []byte(`{"metadata":{"ownerReferences":[{"kind":"CronJob","controller":true}]}}`))

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(got.Managed).To(BeTrue())
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	_, err := Decode(schema.GroupKind{Kind: "Secret"}, []byte(`{}`))
	g.Expect(err).To(MatchError("Secret is no kind of workload"))

	_, err = Decode(schema.GroupKind{Group: "apps", Kind: "Deployment"}, []byte(`{"spec":7}`))
	g.Expect(err).To(MatchError(HavePrefix("decoding Deployment.apps: ")))
}
