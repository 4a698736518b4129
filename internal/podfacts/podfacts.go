// Package podfacts gathers what internal/selection decides from: a pod, its claims,
// the persistent volumes behind them, and the policy of its namespace.
//
// It decides nothing and knows no client: a Source finds the objects, in a cache, in
// an API server (package live) or among objects that somebody has listed. Webhook,
// podkeep explain and coverage use it, so that all of them see the same facts; the
// backup controller, which keeps a few bytes of each claim only, shares the functions
// that read them (selection.ClaimFactsOf, VolumePolicy).
package podfacts

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/resourcepolicy"
	"github.com/podkeep/podkeep/internal/selection"
)

// Source finds objects. An object that does not exist is nil without an error. What
// it returns is not changed.
type Source interface {
	Namespace(ctx context.Context, name string) (*metav1.PartialObjectMetadata, error)
	Claim(ctx context.Context, namespace, name string) (*corev1.PersistentVolumeClaim, error)
	Volume(ctx context.Context, name string) (*corev1.PersistentVolume, error)
}

// Claim is a claim with the volume that it is bound to.
type Claim struct {
	*corev1.PersistentVolumeClaim

	// Volume is nil when the claim is not bound, or its volume is not known.
	Volume *corev1.PersistentVolume
}

// Facts are those of one pod.
type Facts struct {
	Pod *corev1.Pod

	// Namespace is nil when it does not exist.
	Namespace *metav1.PartialObjectMetadata

	// Claims are those of the pod's volumes that exist, by the name of the claim.
	Claims map[string]Claim
}

// Gather finds the facts of a pod in a namespace, which the pod itself may leave
// out while it is being created.
func Gather(ctx context.Context, s Source, pod *corev1.Pod, namespace string) (Facts, error) {
	f := Facts{Pod: pod, Claims: map[string]Claim{}}
	var err error
	if f.Namespace, err = s.Namespace(ctx, namespace); err != nil {
		return f, err
	}
	for _, v := range pod.Spec.Volumes {
		name, ok := selection.ClaimName(pod, v)
		if _, known := f.Claims[name]; !ok || known {
			continue
		}
		claim, err := s.Claim(ctx, namespace, name)
		switch {
		case err != nil:
			return f, err
		case claim == nil:
			continue
		}
		c := Claim{PersistentVolumeClaim: claim}
		if claim.Spec.VolumeName != "" {
			if c.Volume, err = s.Volume(ctx, claim.Spec.VolumeName); err != nil {
				return f, err
			}
		}
		f.Claims[name] = c
	}
	return f, nil
}

// NamespacePolicy is the policy of the pod's namespace; "" when it has none.
func (f Facts) NamespacePolicy() string {
	if f.Namespace == nil {
		return ""
	}
	return f.Namespace.Labels[velerov1.FSBackupLabel]
}

// Settings are those of the server and of a backup.
type Settings struct {
	// ServerDefault is the server's --default-volumes-to-fs-backup.
	ServerDefault bool

	// BackupDefault is the backup's spec.defaultVolumesToFsBackup. nil when it is not
	// set, or there is no certain backup.
	BackupDefault *bool

	// Policies are those that the backup names. nil means none.
	Policies *resourcepolicy.Policies
}

// Input is what selection decides from.
func (f Facts) Input(s Settings) selection.Input {
	in := selection.Input{
		Pod:             f.Pod,
		Claims:          make(map[string]selection.ClaimFacts, len(f.Claims)),
		BackupDefault:   s.BackupDefault,
		NamespacePolicy: f.NamespacePolicy(),
		ServerDefault:   s.ServerDefault,
		VolumePolicy:    VolumePolicy(s.Policies, f.PolicyFacts),
	}
	for name, c := range f.Claims {
		in.Claims[name] = selection.ClaimFactsOf(c.PersistentVolumeClaim, c.Volume)
	}
	return in
}

// PolicyFacts are what volume policies see of a volume's claim; nil when it has none,
// or none that exists.
func (f Facts) PolicyFacts(v corev1.Volume) *resourcepolicy.Volume {
	name, _ := selection.ClaimName(f.Pod, v)
	c, ok := f.Claims[name]
	if !ok {
		return nil
	}
	facts := resourcepolicy.OfBoundClaim(c.PersistentVolumeClaim, c.Volume)
	return &facts
}

// IsRunning reports whether a node agent can read the volumes of a pod. A backup
// skips those of others with selection.ReasonPodNotRunning.
func IsRunning(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodRunning && pod.Spec.NodeName != "" && pod.DeletionTimestamp == nil
}

// VolumePolicy is the rule of volume policies for the volumes of a pod; nil when
// there are none. claim returns what is known of the claim of a volume, nil for a
// volume without one.
func VolumePolicy(p *resourcepolicy.Policies, claim func(corev1.Volume) *resourcepolicy.Volume) func(corev1.Volume) selection.PolicyAction {
	if p == nil || len(p.VolumePolicies) == 0 {
		return nil
	}
	return func(v corev1.Volume) selection.PolicyAction {
		action, ok := p.Match(resourcepolicy.OfPodVolume(v, claim(v)))
		if !ok {
			return selection.PolicyNone
		}
		return selection.PolicyAction(action.Type)
	}
}
