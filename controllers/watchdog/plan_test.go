package watchdog

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/injector"
)

func TestStampsAreMissed(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		namespace string
		mod       func(*metav1.PartialObjectMetadata)
		want      bool
	}{
		"a pod without a stamp":         {namespace: "shop", want: true},
		"a pod with half of a stamp":    {namespace: "shop", mod: annotated(velerov1.SelectedVolumesAnnotation), want: true},
		"a pod with a stamp":            {namespace: "shop", mod: annotated(velerov1.SelectedVolumesAnnotation, velerov1.SelectionInputsAnnotation)},
		"a namespace without a policy":  {namespace: "other"},
		"a mirror pod":                  {namespace: "shop", mod: annotated(corev1.MirrorPodAnnotationKey)},
		"a pod that goes":               {namespace: "shop", mod: func(m *metav1.PartialObjectMetadata) { m.DeletionTimestamp = &metav1.Time{} }},
		"the install namespace":         {namespace: "velero"},
		"the namespace of the cluster":  {namespace: "kube-system"},
		"the namespace of node leases":  {namespace: "kube-node-lease"},
		"a namespace with an odd label": {namespace: "odd", want: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			m := metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: tc.namespace, Name: "web", UID: "u"}}
			if tc.mod != nil {
				tc.mod(&m)
			}

			s := plan(observed{
				installNamespace: "velero", stampable: []metav1.PartialObjectMetadata{m},
				policies: map[string]string{"shop": "opt-out", "velero": "opt-out", "kube-system": "opt-in", "kube-node-lease": "off", "odd": "perhaps"},
			})

			g.Expect(s.stamp != nil).To(Equal(tc.want))
		})
	}
}

func TestGatesAreMissed(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		mod                      func(*corev1.Pod)
		phase                    velerov1.PodVolumeRestorePhase
		wantRecreate, wantReport bool
	}{
		"a pod that nothing has started of is made again": {mod: owned, wantRecreate: true},
		"a pod that was only scheduled is made again":     {mod: func(p *corev1.Pod) { owned(p); p.Spec.NodeName = "n1" }, wantRecreate: true},
		"a bare pod is reported":                          {wantReport: true},
		"a pod that runs is reported":                     {mod: func(p *corev1.Pod) { owned(p); p.Status.Phase = corev1.PodRunning }, wantReport: true},
		"a pod with an init container that runs is reported": {mod: func(p *corev1.Pod) {
			owned(p)
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
		}, wantReport: true},
		"a pod with the gate waits": {mod: func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: injector.GateName, Args: []string{"restore-uid"}}}
		}},
		"a pod on another claim":   {mod: func(p *corev1.Pod) { p.Spec.Volumes[0].PersistentVolumeClaim.ClaimName = "other" }},
		"a pod that goes":          {mod: func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{} }},
		"a pod that has ended":     {mod: func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }},
		"a claim that is restored": {phase: velerov1.PodVolumeRestorePhaseCompleted},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "u"}}
			pod.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "claim"},
			}}}
			if tc.mod != nil {
				tc.mod(&pod)
			}
			want := []ungatedPod{{podKey: keyOf(&pod), volumes: []string{"data"}, restore: "restore-uid"}}

			s := plan(observed{
				restoring: []restoringNamespace{{name: "shop", mark: "again", pods: []corev1.Pod{pod}, claims: claims("claim", "restore-uid", "")}},
				restores:  []velerov1.Restore{active("again")},
				fills:     map[types.UID][]velerov1.PodVolumeRestore{"restore-uid": {fillOf("shop", "claim", tc.phase)}},
			})

			g.Expect(s.unmark).To(BeEmpty())
			g.Expect(s.recreate).To(Equal(when(tc.wantRecreate, want)))
			g.Expect(s.report).To(Equal(when(tc.wantReport, want)))
		})
	}
}

func TestMarksStayAsLongAsTheyAreNeeded(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		restores []velerov1.Restore
		fills    []velerov1.PodVolumeRestore
		claims   []metav1.PartialObjectMetadata
		want     bool // it goes
	}{
		"the restore goes on":                      {restores: []velerov1.Restore{active("again")}},
		"another one fills volumes there":          {restores: []velerov1.Restore{active("other")}, fills: []velerov1.PodVolumeRestore{fillOf("shop", "claim", "")}},
		"another one fills volumes elsewhere":      {restores: []velerov1.Restore{active("other")}, fills: []velerov1.PodVolumeRestore{fillOf("b", "claim", "")}, want: true},
		"no restore goes on":                       {want: true},
		"no restore goes on, but a claim lacks":    {claims: claims("claim", "", "again")},
		"no restore goes on, and claims are whole": {claims: claims("claim", "restore-uid", ""), want: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			s := plan(observed{
				restoring: []restoringNamespace{{name: "shop", mark: "again", claims: tc.claims}},
				restores:  tc.restores, fills: map[types.UID][]velerov1.PodVolumeRestore{"restore-uid": tc.fills},
			})

			g.Expect(s.unmark).To(Equal(when(tc.want, []string{"shop"})))
		})
	}
}

func when[T any](yes bool, all []T) []T {
	if yes {
		return all
	}
	return nil
}

func annotated(keys ...string) func(*metav1.PartialObjectMetadata) {
	return func(m *metav1.PartialObjectMetadata) {
		m.Annotations = map[string]string{}
		for _, key := range keys {
			m.Annotations[key] = ""
		}
	}
}

func owned(p *corev1.Pod) {
	p.OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web", Controller: ptr.To(true)}}
}

func active(name string) velerov1.Restore {
	return velerov1.Restore{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "restore-uid"}}
}

func fillOf(namespace, claim string, phase velerov1.PodVolumeRestorePhase) velerov1.PodVolumeRestore {
	f := velerov1.PodVolumeRestore{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{velerov1.PVCNameAnnotation: claim}}}
	f.Spec.Pod.Namespace = namespace
	f.Status.Phase = phase
	return f
}

func claims(name, filledBy, incomplete string) []metav1.PartialObjectMetadata {
	m := metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{}, Annotations: map[string]string{}}}
	if filledBy != "" {
		m.Annotations[velerov1.FilledByAnnotation] = filledBy
	}
	if incomplete != "" {
		m.Labels[velerov1.RestoreIncompleteLabel] = incomplete
	}
	return []metav1.PartialObjectMetadata{m}
}
