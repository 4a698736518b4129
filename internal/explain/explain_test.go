package explain

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/podfacts"
	"github.com/podkeep/podkeep/internal/resourcepolicy"
	"github.com/podkeep/podkeep/internal/selection"
)

var update = flag.Bool("update", false, "write the golden files; never in CI")

// pod is the running pod shop/web-0 in a namespace with a policy.
func pod(policy string, mods ...func(*Subject)) Subject {
	p := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{{Name: "app"}}}, Status: corev1.PodStatus{Phase: corev1.PodRunning}}
	p.Namespace, p.Name, p.Annotations, p.Labels = "shop", "web-0", map[string]string{}, map[string]string{"app": "web"}
	namespace := &metav1.PartialObjectMetadata{}
	if policy != "" {
		namespace.Labels = map[string]string{velerov1.FSBackupLabel: policy}
	}
	s := Subject{
		Kind: "Pod", Namespace: "shop", Name: "web-0", Live: true,
		Facts: podfacts.Facts{Pod: p, Namespace: namespace, Claims: map[string]podfacts.Claim{}},
	}
	for _, mod := range mods {
		mod(&s)
	}
	return s
}

func volume(name string, source corev1.VolumeSource) func(*Subject) {
	return func(s *Subject) {
		spec := &s.Facts.Pod.Spec
		spec.Volumes = append(spec.Volumes, corev1.Volume{Name: name, VolumeSource: source})
		spec.Containers[0].VolumeMounts = append(spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: name, MountPath: "/" + name})
	}
}

func emptyDir(name string) func(*Subject) {
	return volume(name, corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}})
}

// claim adds a volume with the claim of the same name, which exists.
func claim(name, wish string) func(*Subject) {
	return func(s *Subject) {
		missingClaim(name)(s)
		c := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: "u", Annotations: map[string]string{}}}
		if wish != "" {
			c.Annotations[velerov1.ClaimFSBackupAnnotation] = wish
		}
		s.Facts.Claims[name] = podfacts.Claim{PersistentVolumeClaim: c}
	}
}

func missingClaim(name string) func(*Subject) {
	return volume(name, corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}})
}

func annotated(key, value string) func(*Subject) {
	return func(s *Subject) { s.Facts.Pod.Annotations[key] = value }
}

func stamped(policy string) func(*Subject) {
	return func(s *Subject) {
		in := s.Facts.Input(podfacts.Settings{})
		in.NamespacePolicy = policy
		for key, value := range selection.Stamp(selection.Decide(in), selection.InputsHash(in)) {
			s.Facts.Pod.Annotations[key] = value
		}
	}
}

func madeBy(owner string) func(*Subject) { return func(s *Subject) { s.Owner = owner } }

func template(kind, name string) func(*Subject) {
	return func(s *Subject) {
		s.Kind, s.Name, s.Live = kind, name, false
		s.Facts.Pod.Name = ""
	}
}

func known(value bool) Settings {
	return Settings{ServerDefault: &value, ServerDefaultFrom: "--default-volumes-to-fs-backup of Deployment velero/velero"}
}

func policies(t *testing.T, text string) *resourcepolicy.Policies {
	t.Helper()
	p, problems := resourcepolicy.Parse(map[string]string{"p": "version: v1\nvolumePolicies:\n" + text})
	NewWithT(t).Expect(problems).To(BeEmpty())
	return p
}

// TestEachRule has a row for each reason: what it means, and how to change it.
func TestEachRule(t *testing.T) {
	t.Parallel()
	withPolicies := func(action string) Settings {
		s := known(false)
		s.Policies, s.PoliciesFrom = policies(t, "- {conditions: {nfs: {}}, action: {type: skip}}\n- {conditions: {}, action: {type: "+action+"}}"), "ConfigMap velero/p"
		return s
	}
	withDefault := func(value bool) Settings {
		s := known(false)
		s.Spec = &velerov1.BackupSpec{DefaultVolumesToFsBackup: &value}
		return s
	}
	const exclude, include = velerov1.VolumesToExcludeAnnotation, velerov1.VolumesToBackupAnnotation
	tests := map[string]struct {
		subject  Subject
		settings Settings
		want     Volume // Meaning and Change as they are, the name is data
	}{
		"rule 1": {
			pod("", volume("data", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{}})), known(true),
			Volume{Included: ptr.To(false), Reason: selection.ReasonManagedByKubernetes, Rule: 1, Meaning: "Kubernetes fills the volume anew in every pod",
				Change: "nothing to do: back up the Secret or ConfigMap itself"},
		},
		"rule 2": {
			pod("", volume("data", corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{}})), known(true),
			Volume{Included: ptr.To(false), Reason: selection.ReasonHostPathUnsupported, Rule: 2, Meaning: "a directory of the node",
				Change: "use a claim on a local or network volume"},
		},
		"rule 5 includes": {
			pod("", emptyDir("data")), withPolicies("fs-backup"),
			Volume{Included: ptr.To(true), Reason: selection.ReasonVolumePolicyFSBackup, Rule: 5,
				Meaning: "the backup's volume policy says fs-backup (volumePolicies[1] of ConfigMap velero/p)", Change: "change the policy in ConfigMap velero/p"},
		},
		"rule 5 leaves it to a snapshot": {
			pod("", claim("data", velerov1.ClaimInclude)), withPolicies("snapshot"),
			Volume{Claim: "data", Included: ptr.To(false), Reason: selection.ReasonVolumePolicySnapshot, Rule: 5,
				Meaning: "the backup's volume policy leaves it to a snapshot (volumePolicies[1] of ConfigMap velero/p)", Change: "change the policy in ConfigMap velero/p"},
		},
		"rule 6 includes": {
			pod("", claim("data", velerov1.ClaimInclude)), known(false),
			Volume{Claim: "data", Included: ptr.To(true), Reason: selection.ReasonIncludedByClaim, Rule: 6,
				Meaning: "the claim's annotation podkeep.io/fs-backup is include", Change: "kubectl annotate pvc -n shop data podkeep.io/fs-backup=exclude --overwrite"},
		},
		"rule 6 excludes": {
			pod("", claim("data", velerov1.ClaimExclude)), known(true),
			Volume{Claim: "data", Included: ptr.To(false), Reason: selection.ReasonExcludedByClaim, Rule: 6,
				Meaning: "the claim's annotation podkeep.io/fs-backup is exclude", Change: "kubectl annotate pvc -n shop data podkeep.io/fs-backup=include --overwrite"},
		},
		"rule 7": {
			pod("", emptyDir("data"), annotated(exclude, "x,data")), known(true),
			Volume{Included: ptr.To(false), Reason: selection.ReasonExcludedByPod, Rule: 7, Meaning: "the pod's annotation " + exclude + " lists it",
				Change: "kubectl annotate pod -n shop web-0 " + exclude + "=x --overwrite"},
		},
		"rule 7, of a template": {
			pod("", emptyDir("data"), annotated(exclude, "data"), template("Deployment", "web")), known(true),
			Volume{Included: ptr.To(false), Reason: selection.ReasonExcludedByPod, Rule: 7, Meaning: "the pod's annotation " + exclude + " lists it",
				Change: "in the pod template of Deployment web, remove the annotation " + exclude},
		},
		"rule 8": {
			pod("", emptyDir("data"), annotated(include, "data")), known(false),
			Volume{Included: ptr.To(true), Reason: selection.ReasonIncludedByPod, Rule: 8, Meaning: "the pod's annotation " + include + " lists it",
				Change: "kubectl annotate pod -n shop web-0 " + include + "-"},
		},
		"rule 9": {
			pod(velerov1.FSBackupOptOut, emptyDir("data")), withDefault(false),
			Volume{Included: ptr.To(false), Reason: selection.ReasonBackupDefault, Rule: 9, Meaning: "defaultVolumesToFsBackup of the backup is false",
				Change: "kubectl annotate pod -n shop web-0 " + include + "=data --overwrite"},
		},
		"rule 10, opt-out": {
			pod(velerov1.FSBackupOptOut, emptyDir("data"), annotated(exclude, "tmp"), madeBy("StatefulSet web")), known(false),
			Volume{Included: ptr.To(true), Reason: selection.ReasonNamespacePolicy, Rule: 10, Meaning: "the namespace's label podkeep.io/fs-backup is opt-out",
				Change: "in the pod template of StatefulSet web, set the annotation " + exclude + ": tmp,data"},
		},
		"rule 10, opt-in": {
			pod(velerov1.FSBackupOptIn, claim("data", "")), known(true),
			Volume{Claim: "data", Included: ptr.To(false), Reason: selection.ReasonNamespacePolicy, Rule: 10, Meaning: "the namespace's label podkeep.io/fs-backup is opt-in",
				Change: "kubectl annotate pvc -n shop data podkeep.io/fs-backup=include --overwrite"},
		},
		"rule 10, off": {
			pod(velerov1.FSBackupOff, claim("data", velerov1.ClaimInclude)), known(true),
			Volume{Claim: "data", Included: ptr.To(false), Reason: selection.ReasonNamespacePolicy, Rule: 10, Meaning: "the namespace's label podkeep.io/fs-backup is off",
				Change: "kubectl label namespace shop podkeep.io/fs-backup- (while it is off, nothing of the namespace is backed up)"},
		},
		"rule 11": {
			pod("", missingClaim("data")), known(true),
			Volume{Claim: "data", Included: ptr.To(true), Reason: selection.ReasonServerDefault, Rule: 11, Meaning: "the server's --default-volumes-to-fs-backup is true",
				Change: "give claim data the annotation podkeep.io/fs-backup=exclude"},
		},
		"rule 11, when the default cannot be known": {
			pod("", emptyDir("data")), Settings{ServerDefaultFrom: "you may not read it"},
			Volume{Reason: selection.ReasonServerDefault, Rule: 11, Meaning: "the server's --default-volumes-to-fs-backup, which cannot be known: you may not read it",
				Change: "kubectl annotate pod -n shop web-0 " + include + "=data --overwrite"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			tc.want.Name = "data"

			got := Explain(tc.subject, tc.settings)

			g.Expect(got.Volumes).To(Equal([]Volume{tc.want}))
		})
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	excluded := known(true)
	excluded.Spec = &velerov1.BackupSpec{ExcludedNamespaces: []string{"shop"}}
	byLabel := known(true)
	byLabel.Spec = &velerov1.BackupSpec{LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}}
	withoutClaims := known(true)
	withoutClaims.Spec = &velerov1.BackupSpec{ExcludedResources: []string{"pvc"}}
	pending := func(s *Subject) { s.Facts.Pod.Status.Phase = corev1.PodPending }
	label := func(s *Subject) {
		s.Facts.Claims["data"].Labels = map[string]string{velerov1.ExcludeFromBackupLabel: "true"}
	}
	tests := map[string]struct {
		subject  Subject
		settings Settings
		want     map[selection.Problem]string
	}{
		"none": {pod("", claim("data", "")), known(true), nil},
		"what selection warns of": {
			pod("", emptyDir("data"), annotated(velerov1.VolumesToBackupAnnotation, "dta")), known(true),
			map[selection.Problem]string{selection.ProblemUnknownVolume: "no volumes named dta"},
		},
		"what could not be read": {
			pod("", func(s *Subject) { s.Notes = []string{"persistent volumes are forbidden"} }), known(true),
			map[selection.Problem]string{ProblemNotRead: "persistent volumes are forbidden"},
		},
		"a claim that does not exist": {
			pod("", missingClaim("data")), known(true), map[selection.Problem]string{ProblemNotRead: "claim data of volume data is not known"},
		},
		"a pod that waits": {
			pod("", emptyDir("data"), pending), known(true), map[selection.Problem]string{ProblemNotRunning: "the pod is Pending: a backup that comes to it now takes none"},
		},
		"not a pod that waits and of which nothing is taken": {pod("", emptyDir("data"), pending), known(false), nil},
		"another namespace": {
			pod("", emptyDir("data")), excluded, map[selection.Problem]string{ProblemNotInBackup: "the pod is not in the backup: namespace shop: "},
		},
		"other labels": {
			pod("", emptyDir("data")), byLabel, map[selection.Problem]string{ProblemNotInBackup: "the pod is not in the backup: "},
		},
		"without claims": {
			pod("", claim("data", "")), withoutClaims, map[selection.Problem]string{ProblemNotInBackup: "claim data is not in the backup: "},
		},
		"an excluded claim": {
			pod("", claim("data", ""), label), known(true), map[selection.Problem]string{ProblemNotInBackup: "claim data is not in the backup: it has the label velero.io/exclude-from-backup=true"},
		},
		"a template with a stamp": {
			pod(velerov1.FSBackupOptOut, emptyDir("data"), stamped(""), template("Deployment", "web")), known(true),
			map[selection.Problem]string{ProblemCopiedStamp: "it carries the stamp of a pod"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := map[selection.Problem]string{}
			for _, w := range Explain(tc.subject, tc.settings).Warnings {
				got[w.Problem] = w.Text
			}

			g.Expect(got).To(HaveLen(len(tc.want)))
			for problem, text := range tc.want {
				g.Expect(got).To(HaveKeyWithValue(problem, ContainSubstring(text)))
			}
		})
	}
}

func TestStamps(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	g.Expect(Explain(pod("", emptyDir("data")), known(false)).Stamp).To(Equal(&Stamp{State: selection.StampMissing}))
	g.Expect(Explain(pod("", emptyDir("data"), stamped("")), known(false)).Stamp).To(Equal(&Stamp{State: selection.StampValid}))
	g.Expect(Explain(pod("", emptyDir("data"), stamped(velerov1.FSBackupOptOut)), known(false)).Stamp).To(Equal(&Stamp{
		State: selection.StampStale, Differences: []Difference{{
			Volume: "data", Stamped: "include", Now: "skip (ServerDefault)", Why: "the server's --default-volumes-to-fs-backup",
		}},
	}))
	g.Expect(Explain(pod("", emptyDir("data"), template("Job", "seed")), known(false)).Stamp).To(BeNil(), "nothing has been created yet")
}

func TestPage(t *testing.T) {
	t.Parallel()
	one := known(false)
	several := Settings{ServerDefaultFrom: "you may not read Deployment velero/velero", Backup: "Schedule nightly"}
	several.Spec = &velerov1.BackupSpec{DefaultVolumesToFsBackup: ptr.To(true)}
	several.PoliciesFrom = "ConfigMap velero/p"
	tests := map[string]struct {
		subjects []Subject
		settings Settings
	}{
		"pod": {[]Subject{pod(velerov1.FSBackupOptOut, claim("data", ""), emptyDir("cache"), annotated(velerov1.VolumesToExcludeAnnotation, "cache,typo"),
			stamped(velerov1.FSBackupOptIn), madeBy("StatefulSet web"))}, one},
		"no-volumes": {[]Subject{pod("")}, one},
		"several": {[]Subject{
			pod("", emptyDir("data"), stamped("")), pod("", claim("data", velerov1.ClaimExclude), template("Deployment", "db")),
		}, several},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			file := filepath.Join("testdata", name+".txt")

			got := NewReport(tc.subjects, tc.settings).Page()

			if *update {
				g.Expect(os.WriteFile(file, []byte(got), 0o600)).To(Succeed())
			}
			want, err := os.ReadFile(file)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got).To(Equal(string(want)))
		})
	}
}
