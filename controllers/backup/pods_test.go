package backup

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/selection"
)

func TestJudge(t *testing.T) {
	t.Parallel()

	yes, no := true, false
	annotated := func(key, value string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Annotations = map[string]string{key: value} }
	}
	pending := func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }
	terminating := func(p *corev1.Pod) { p.DeletionTimestamp = ptrTime() }

	tests := map[string]struct {
		pod           *corev1.Pod
		backupDefault *bool
		policy        string
		claim         claim
		want          map[string]verdict // of volumes other than config
	}{
		"the backup's default takes what can be taken": {
			pod: webPod(), backupDefault: &yes,
			want: map[string]verdict{
				"data":  {take: true, reason: selection.ReasonBackupDefault},
				"cache": {take: true, reason: selection.ReasonBackupDefault},
			},
		},
		"a volume that the pod lists is taken": {
			pod: webPod(annotated(velerov1.VolumesToBackupAnnotation, "cache")), backupDefault: &no,
			want: map[string]verdict{
				"data":  {reason: selection.ReasonBackupDefault},
				"cache": {take: true, reason: selection.ReasonIncludedByPod},
			},
		},
		"what does not run is not taken, and people hear of it": {
			pod: webPod(pending), backupDefault: &yes,
			want: map[string]verdict{
				"data":  {reason: selection.ReasonPodNotRunning, warn: true},
				"cache": {reason: selection.ReasonPodNotRunning, warn: true},
			},
		},
		"what is terminating does not run": {
			pod: webPod(terminating), backupDefault: &yes,
			want: map[string]verdict{
				"data":  {reason: selection.ReasonPodNotRunning, warn: true},
				"cache": {reason: selection.ReasonPodNotRunning, warn: true},
			},
		},
		"nobody is warned of a stopped pod that nobody wants": {
			pod: webPod(pending), backupDefault: &no,
			want: map[string]verdict{
				"data":  {reason: selection.ReasonBackupDefault},
				"cache": {reason: selection.ReasonBackupDefault},
			},
		},
		"a claim is taken once": {
			pod: webPod(), backupDefault: &yes, claim: claim{taken: true},
			want: map[string]verdict{
				"data":  {reason: reasonClaimTaken},
				"cache": {take: true, reason: selection.ReasonBackupDefault},
			},
		},
		"the data of an excluded claim stays out": {
			pod: webPod(), backupDefault: &yes, claim: claim{excluded: excludedByLabel},
			want: map[string]verdict{
				"data":  {reason: reasonClaimExcluded},
				"cache": {take: true, reason: selection.ReasonBackupDefault},
			},
		},
		"a volume on the node that the pod lists is a warning": {
			pod: webPod(annotated(velerov1.VolumesToBackupAnnotation, "data")), claim: claim{volume: &volume{name: "pv", hostPath: true}},
			want: map[string]verdict{
				"data":  {reason: selection.ReasonHostPathUnsupported, warn: true},
				"cache": {reason: selection.ReasonServerDefault},
			},
		},
		"a raw device that the pod lists is a warning": {
			pod: webPod(annotated(velerov1.VolumesToBackupAnnotation, "data")), claim: claim{block: true},
			want: map[string]verdict{
				"data":  {reason: selection.ReasonBlockVolume, warn: true},
				"cache": {reason: selection.ReasonServerDefault},
			},
		},
		"a claim that asks for what cannot be read is a warning": {
			pod: webPod(), claim: claim{block: true, wish: velerov1.ClaimInclude},
			want: map[string]verdict{
				"data":  {reason: selection.ReasonBlockVolume, warn: true},
				"cache": {reason: selection.ReasonServerDefault},
			},
		},
		"a claim that asks to be left out is no warning, although the pod lists it": {
			pod: webPod(annotated(velerov1.VolumesToBackupAnnotation, "data")), claim: claim{wish: velerov1.ClaimExclude},
			want: map[string]verdict{
				"data":  {reason: selection.ReasonExcludedByClaim},
				"cache": {reason: selection.ReasonServerDefault},
			},
		},
		"a volume that the pod lists in a namespace that is off is a warning": {
			pod: webPod(annotated(velerov1.VolumesToBackupAnnotation, "cache")), policy: velerov1.FSBackupOff,
			want: map[string]verdict{
				"data":  {reason: selection.ReasonNamespacePolicy},
				"cache": {reason: selection.ReasonNamespacePolicy, warn: true},
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			facts := podFacts{pod: tc.pod, claims: map[string]*claim{"data": &tc.claim}, input: selection.Input{
				Pod: tc.pod, BackupDefault: tc.backupDefault, NamespacePolicy: tc.policy,
				Claims: map[string]selection.ClaimFacts{"db": claimFactsOf(&tc.claim)},
			}}

			got := map[string]verdict{}
			for _, v := range judge(facts, selection.Resolve(facts.input).Decisions) {
				name := v.volume
				v.volume = ""
				got[name] = v
			}

			tc.want["config"] = verdict{reason: selection.ReasonManagedByKubernetes}
			g.Expect(got).To(Equal(tc.want))
		})
	}
}

func TestJudgeTakesTheStampThatFits(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	pod := webPod()
	in := selection.Input{Pod: pod}
	stamped := []selection.Decision{
		{Volume: "data", Included: true}, {Volume: "cache", Reason: "ByTheStamp"}, {Volume: "config", Reason: selection.ReasonManagedByKubernetes},
	}
	pod.Annotations = selection.Stamp(stamped, selection.InputsHash(in))

	verdicts := judge(podFacts{pod: pod, input: in}, selection.Resolve(in).Decisions)
	g.Expect(verdicts[0].take).To(BeTrue())
	g.Expect(verdicts[1].reason).To(Equal(selection.Reason("ByTheStamp")))

	in.ServerDefault = true
	verdicts = judge(podFacts{pod: pod, input: in}, selection.Resolve(in).Decisions)
	g.Expect(verdicts[1].reason).To(Equal(selection.ReasonServerDefault), "a stamp of other inputs is not used")
}

// TestFactsOfClaimsAreThoseOfSelection: the few bytes that a backup keeps of a claim
// and its volume are read as selection reads whole objects.
func TestFactsOfClaimsAreThoseOfSelection(t *testing.T) {
	t.Parallel()
	block := corev1.PersistentVolumeBlock
	claims := map[string]func(*corev1.PersistentVolumeClaim){
		"plain": func(*corev1.PersistentVolumeClaim) {},
		"block": func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeMode = &block },
		"included": func(c *corev1.PersistentVolumeClaim) {
			c.Annotations = map[string]string{velerov1.ClaimFSBackupAnnotation: velerov1.ClaimInclude}
		},
		"unknown": func(c *corev1.PersistentVolumeClaim) {
			c.Annotations = map[string]string{velerov1.ClaimFSBackupAnnotation: "x"}
		},
	}
	volumes := map[string]func(*corev1.PersistentVolume){
		"local":    func(v *corev1.PersistentVolume) { v.Spec.Local = &corev1.LocalVolumeSource{Path: "/x"} },
		"hostPath": func(v *corev1.PersistentVolume) { v.Spec.HostPath = &corev1.HostPathVolumeSource{Path: "/x"} },
	}
	for claimName, setClaim := range claims {
		for volumeName, setVolume := range volumes {
			t.Run(claimName+" on "+volumeName, func(t *testing.T) {
				t.Parallel()
				g := NewWithT(t)
				c, v := &corev1.PersistentVolumeClaim{}, &corev1.PersistentVolume{}
				c.Spec.VolumeName, c.Status.Phase = "pv", corev1.ClaimBound
				setClaim(c)
				setVolume(v)
				rawClaim, err := runtime.DefaultUnstructuredConverter.ToUnstructured(c)
				g.Expect(err).NotTo(HaveOccurred())
				rawVolume, err := runtime.DefaultUnstructuredConverter.ToUnstructured(v)
				g.Expect(err).NotTo(HaveOccurred())

				cl := newClaim(&unstructured.Unstructured{Object: rawClaim}, "")
				cl.volume.setFacts(&unstructured.Unstructured{Object: rawVolume})

				g.Expect(claimFactsOf(cl)).To(Equal(selection.ClaimFactsOf(c, v)))
			})
		}
	}
}
