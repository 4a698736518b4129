package podfacts

import (
	"context"
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/resourcepolicy"
	"github.com/podkeep/podkeep/internal/selection"
)

// objects are a Source of what it holds, by name.
type objects struct {
	namespaces map[string]*metav1.PartialObjectMetadata
	claims     map[string]*corev1.PersistentVolumeClaim
	volumes    map[string]*corev1.PersistentVolume
	err        error
	reads      int
}

func (o *objects) Namespace(_ context.Context, name string) (*metav1.PartialObjectMetadata, error) {
	o.reads++
	return o.namespaces[name], o.err
}

func (o *objects) Claim(_ context.Context, namespace, name string) (*corev1.PersistentVolumeClaim, error) {
	o.reads++
	return o.claims[namespace+"/"+name], o.err
}

func (o *objects) Volume(_ context.Context, name string) (*corev1.PersistentVolume, error) {
	o.reads++
	return o.volumes[name], o.err
}

func shop() *objects {
	namespace := &metav1.PartialObjectMetadata{}
	namespace.Labels = map[string]string{velerov1.FSBackupLabel: velerov1.FSBackupOptOut}
	bound := &corev1.PersistentVolumeClaim{}
	bound.Annotations = map[string]string{velerov1.ClaimFSBackupAnnotation: velerov1.ClaimExclude}
	bound.Labels = map[string]string{"tier": "db"}
	bound.Spec.VolumeName = "pv-1"
	pending := &corev1.PersistentVolumeClaim{}
	pending.Spec.VolumeMode = ptr.To(corev1.PersistentVolumeBlock)
	onNode := &corev1.PersistentVolume{}
	onNode.Spec.HostPath = &corev1.HostPathVolumeSource{Path: "/x"}
	return &objects{
		namespaces: map[string]*metav1.PartialObjectMetadata{"shop": namespace},
		claims:     map[string]*corev1.PersistentVolumeClaim{"shop/bound": bound, "shop/web-0-work": pending},
		volumes:    map[string]*corev1.PersistentVolume{"pv-1": onNode},
	}
}

// web mounts a claim twice, one that is missing, an ephemeral one, and an emptyDir.
func web() *corev1.Pod {
	claim := func(name string) corev1.VolumeSource {
		return corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}}
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web-0"}}
	pod.Spec.Volumes = []corev1.Volume{
		{Name: "data", VolumeSource: claim("bound")},
		{Name: "again", VolumeSource: claim("bound")},
		{Name: "gone", VolumeSource: claim("missing")},
		{Name: "work", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}},
		{Name: "cache", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
	}
	return pod
}

func TestGather(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	world := shop()

	facts, err := Gather(t.Context(), world, web(), "shop")

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(world.reads).To(Equal(5), "a namespace, three claims, one volume, each once")
	in := facts.Input(Settings{ServerDefault: true, BackupDefault: ptr.To(false)})
	g.Expect(in.Claims).To(Equal(map[string]selection.ClaimFacts{
		"bound":      {HostPathPV: true, Wish: velerov1.ClaimExclude},
		"web-0-work": {Block: true},
	}))
	g.Expect(in.NamespacePolicy).To(Equal(velerov1.FSBackupOptOut))
	g.Expect(in.ServerDefault).To(BeTrue())
	g.Expect(in.BackupDefault).To(HaveValue(BeFalse()))
	g.Expect(in.VolumePolicy).To(BeNil())
}

func TestGatherInANamespaceThatDoesNotExist(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	facts, err := Gather(t.Context(), shop(), web(), "other")

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(facts.Namespace).To(BeNil())
	g.Expect(facts.NamespacePolicy()).To(BeEmpty())
	g.Expect(facts.Claims).To(BeEmpty())
}

func TestGatherReturnsErrors(t *testing.T) {
	t.Parallel()
	unreachable := errors.New("connection refused")

	_, err := Gather(t.Context(), &objects{err: unreachable}, web(), "shop")

	NewWithT(t).Expect(err).To(MatchError(unreachable))
}

func TestVolumePolicySeesClaimsAndVolumes(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	facts, err := Gather(t.Context(), shop(), web(), "shop")
	g.Expect(err).NotTo(HaveOccurred())
	policies, problems := resourcepolicy.Parse(map[string]string{"p": `
version: v1
volumePolicies:
- {conditions: {pvcLabels: {tier: db}, volumeTypes: [hostPath]}, action: {type: snapshot}}
- {conditions: {volumeTypes: [ephemeral]}, action: {type: custom}}
- {conditions: {volumeTypes: [emptyDir]}, action: {type: fs-backup}}
`})
	g.Expect(problems).To(BeEmpty())

	in := facts.Input(Settings{Policies: policies})

	got := map[string]selection.PolicyAction{}
	for _, v := range facts.Pod.Spec.Volumes {
		got[v.Name] = in.VolumePolicy(v)
	}
	g.Expect(got).To(Equal(map[string]selection.PolicyAction{
		"data": selection.PolicySnapshot, "again": selection.PolicySnapshot, "gone": selection.PolicyNone,
		"work": selection.PolicyCustom, "cache": selection.PolicyFSBackup,
	}))
}
