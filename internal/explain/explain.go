// Package explain says of the volumes of pods whether they are backed up, which rule
// decides, and how to change it: for podkeep explain.
//
// It is pure: it is given the facts of pods (internal/podfacts) and the settings of
// server and backup with where they come from, and has internal/selection decide, as
// the webhook and the backup do. It reads nothing and asks nobody; what could not be
// read is a note that the caller gives, and what cannot be known is said to be so.
package explain

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/podfacts"
	"github.com/podkeep/podkeep/internal/resourcepolicy"
	"github.com/podkeep/podkeep/internal/selection"
)

// Settings say for which server and which backup volumes are explained.
type Settings struct {
	// ServerDefault is the server's --default-volumes-to-fs-backup. nil means that it
	// cannot be known, and ServerDefaultFrom says why; otherwise that says where it
	// was found.
	ServerDefault     *bool
	ServerDefaultFrom string

	// Backup names the backup, such as "Schedule nightly". "" means no certain one:
	// what holds for a backup that says nothing of its own.
	Backup string

	// Spec is that of the backup, with what flags have changed. nil means an empty
	// one.
	Spec *velerov1.BackupSpec

	// Policies are those that the spec names, and PoliciesFrom says where they are.
	Policies     *resourcepolicy.Policies
	PoliciesFrom string
}

// spec is that of the backup; an empty one takes everything.
func (s Settings) spec() *velerov1.BackupSpec {
	if s.Spec == nil {
		return &velerov1.BackupSpec{}
	}
	return s.Spec
}

// Subject is a pod, or the template that somebody makes pods from.
type Subject struct {
	// Kind and Name are those of the object that people have written, in Namespace.
	Kind      string
	Namespace string
	Name      string

	// Facts are those of the pod, or of one that is made from the template.
	Facts podfacts.Facts

	// Live says that the pod is one of the cluster; others are not created yet.
	Live bool

	// Owner is whose template makes the pod, such as "StatefulSet db"; "" for a pod
	// that people make themselves.
	Owner string

	// Notes say what could not be read, each as a sentence.
	Notes []string
}

// Explanation is what holds for a subject.
type Explanation struct {
	Kind            string    `json:"kind"`
	Namespace       string    `json:"namespace"`
	Name            string    `json:"name"`
	Phase           string    `json:"phase,omitempty"` // of a pod of the cluster
	Owner           string    `json:"owner,omitempty"`
	NamespacePolicy string    `json:"namespacePolicy,omitempty"` // the value of the label
	Volumes         []Volume  `json:"volumes"`
	Stamp           *Stamp    `json:"stamp,omitempty"` // of a pod of the cluster
	Warnings        []Warning `json:"warnings,omitempty"`
}

// Volume is the verdict on a volume.
type Volume struct {
	Name  string `json:"volume"`
	Claim string `json:"claim,omitempty"`

	// Included is null when it cannot be known.
	Included *bool            `json:"included"`
	Reason   selection.Reason `json:"reason"`
	Rule     int              `json:"rule"`
	Meaning  string           `json:"meaning"`
	Change   string           `json:"change"`
}

// Stamp is what the pod's stamp is worth, and where a backup decides otherwise.
type Stamp struct {
	State       selection.StampState `json:"state"`
	Differences []Difference         `json:"differences,omitempty"`
}

// Difference is a volume that a backup treats in another way than its stamp says.
type Difference struct {
	Volume  string `json:"volume"`
	Stamped string `json:"stamped"`
	Now     string `json:"now"`
	Why     string `json:"why"`
}

// Warning is something that its reader should know.
type Warning struct {
	Problem selection.Problem `json:"problem"`
	Volume  string            `json:"volume,omitempty"`
	Text    string            `json:"text"`
}

// Problems of this package, beside those of internal/selection.
const (
	// ProblemNotRead is something that could not be read; the verdicts may be others.
	ProblemNotRead selection.Problem = "NotRead"

	// ProblemNotRunning is a pod that no backup could take now.
	ProblemNotRunning selection.Problem = "PodNotRunning"

	// ProblemNotInBackup is a pod or a claim that the backup does not contain.
	ProblemNotInBackup selection.Problem = "NotInBackup"

	// ProblemCopiedStamp is a stamp in something that is not a pod of the cluster.
	ProblemCopiedStamp selection.Problem = "CopiedStamp"
)

// Explain judges a subject.
func Explain(s Subject, settings Settings) Explanation {
	in := s.Facts.Input(podfacts.Settings{
		ServerDefault: settings.ServerDefault != nil && *settings.ServerDefault,
		BackupDefault: settings.spec().DefaultVolumesToFsBackup,
		Policies:      settings.Policies,
	})
	resolved := selection.Resolve(in)
	e := Explanation{
		Kind: s.Kind, Namespace: s.Namespace, Name: s.Name, Owner: s.Owner,
		NamespacePolicy: s.Facts.NamespacePolicy(),
		Volumes:         []Volume{},
	}
	for i, d := range resolved.Decisions {
		e.Volumes = append(e.Volumes, volumeOf(s, settings, in.Pod.Spec.Volumes[i], d))
	}
	if s.Live {
		e.Phase = string(in.Pod.Status.Phase)
		e.Stamp = stampOf(resolved)
	}
	e.Warnings = warningsOf(s, settings, in, resolved)
	return e
}

func volumeOf(s Subject, settings Settings, v corev1.Volume, d selection.Decision) Volume {
	claim, _ := selection.ClaimName(s.Facts.Pod, v)
	view := Volume{
		Name: v.Name, Claim: claim, Included: &d.Included, Reason: d.Reason, Rule: d.Reason.Rule().Number,
		Meaning: meaning(s, settings, v, d), Change: change(s, settings, v, d),
	}
	if d.Reason == selection.ReasonServerDefault && settings.ServerDefault == nil {
		view.Included = nil
	}
	return view
}

// meaning is what the rule means, with the values that it has seen.
func meaning(s Subject, settings Settings, v corev1.Volume, d selection.Decision) string {
	means := d.Reason.Rule().Means
	switch d.Reason.Rule().Number {
	case 5:
		i, _ := settings.Policies.Find(resourcepolicy.OfPodVolume(v, s.Facts.PolicyFacts(v)))
		return fmt.Sprintf("%s (volumePolicies[%d] of %s)", means, i, settings.PoliciesFrom)
	case 9:
		return fmt.Sprintf("%s is %t", means, *settings.spec().DefaultVolumesToFsBackup)
	case 10:
		return fmt.Sprintf("%s is %s", means, s.Facts.NamespacePolicy())
	case 11:
		if settings.ServerDefault == nil {
			return fmt.Sprintf("%s, which cannot be known: %s", means, settings.ServerDefaultFrom)
		}
		return fmt.Sprintf("%s is %t", means, *settings.ServerDefault)
	default:
		return means
	}
}

func stampOf(r selection.Resolution) *Stamp {
	stamp := &Stamp{State: r.Stamp}
	for _, d := range r.Differences {
		stamp.Differences = append(stamp.Differences, Difference{
			Volume: d.Volume, Stamped: d.Stamped.Verdict(), Now: d.Now.Verdict(), Why: d.Now.Reason.Rule().Means,
		})
	}
	return stamp
}

func warningsOf(s Subject, settings Settings, in selection.Input, r selection.Resolution) []Warning {
	var all []Warning
	for _, w := range selection.Warnings(in, r.Decisions) {
		all = append(all, Warning(w))
	}
	for _, note := range s.Notes {
		all = append(all, Warning{Problem: ProblemNotRead, Text: note})
	}
	all = append(all, missingClaims(s)...)
	all = append(all, notInBackup(s, settings)...)
	included := slices.ContainsFunc(r.Decisions, func(d selection.Decision) bool { return d.Included })
	if p := in.Pod; s.Live && included && !podfacts.IsRunning(p) {
		all = append(all, Warning{Problem: ProblemNotRunning, Text: fmt.Sprintf(
			"the pod is %s: a backup that comes to it now takes none of its volumes (%s)", stateOf(p), selection.ReasonPodNotRunning)})
	}
	if _, stamped := in.Pod.Annotations[velerov1.SelectionInputsAnnotation]; stamped && !s.Live {
		all = append(all, Warning{Problem: ProblemCopiedStamp, Text: fmt.Sprintf(
			"it carries the stamp of a pod, which has no effect and is written anew: remove the annotations %s, %s and %s",
			velerov1.SelectedVolumesAnnotation, velerov1.SkippedVolumesAnnotation, velerov1.SelectionInputsAnnotation)})
	}
	return all
}

// missingClaims are those of which nothing can be known yet. Claims that are made
// with the pod are judged by their templates.
func missingClaims(s Subject) []Warning {
	var all []Warning
	for _, v := range s.Facts.Pod.Spec.Volumes {
		if v.PersistentVolumeClaim == nil {
			continue
		}
		name := v.PersistentVolumeClaim.ClaimName
		if _, exists := s.Facts.Claims[name]; !exists {
			all = append(all, Warning{Problem: ProblemNotRead, Volume: v.Name, Text: fmt.Sprintf(
				"claim %s of volume %s is not known: once it exists, its annotation, its mode and its volume may change the verdict", name, v.Name)})
		}
	}
	return all
}

func stateOf(pod *corev1.Pod) string {
	switch {
	case pod.DeletionTimestamp != nil:
		return "being deleted"
	case pod.Status.Phase == "":
		return "not scheduled"
	default:
		return string(pod.Status.Phase)
	}
}
