package backup

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/repositories"
	"github.com/podkeep/podkeep/internal/selection"
)

// takenVolume is what is kept of a pod volume backup while items are collected.
type takenVolume struct {
	podNamespace string
	podName      string
	volume       string
	node         string
	claim        string // "" for a volume without one
}

func newTakenVolume(v *velerov1.PodVolumeBackup) takenVolume {
	return takenVolume{
		podNamespace: v.Spec.Pod.Namespace,
		podName:      v.Spec.Pod.Name,
		volume:       v.Spec.Volume,
		node:         v.Spec.Node,
		claim:        v.Annotations[velerov1.PVCNameAnnotation],
	}
}

// podVolumes creates pod volume backups, and what they need.
type podVolumes struct {
	backup *velerov1.Backup
	client client.Client
	lister lister // for its retries
	agents *nodeAgents
	now    metav1.Time

	repositories map[string]bool        // namespaces whose repository exists
	created      map[string]takenVolume // by the name of the pod volume backup
	skipped      []skippedVolume        // without a claim, and with data that nobody protects
	resumed      map[claimKey]bool      // claims that an earlier collection has taken
}

func newPodVolumes(r *Reconciler, o observed, l lister) *podVolumes {
	return &podVolumes{
		backup:       o.backup,
		client:       r.Client,
		lister:       l,
		agents:       &nodeAgents{reader: r.Reader, namespace: r.Namespace},
		now:          metav1.NewTime(o.now),
		repositories: map[string]bool{},
		created:      map[string]takenVolume{},
		resumed:      map[claimKey]bool{},
	}
}

// resume takes over what an earlier, interrupted collection has created.
func (p *podVolumes) resume(existing []velerov1.PodVolumeBackup) {
	for i := range existing {
		v := newTakenVolume(&existing[i])
		p.created[existing[i].Name] = v
		if v.claim != "" {
			p.resumed[claimKey{v.podNamespace, v.claim}] = true
		}
	}
}

// skippedVolume is a volume without a claim that is not taken.
type skippedVolume struct {
	podNamespace string
	podName      string
	volume       string
	reason       selection.Reason
}

// skip remembers a volume without a claim. Volumes that Kubernetes fills, and
// those that nobody has mounted, have no data to protect.
func (p *podVolumes) skip(pod *corev1.Pod, v verdict) {
	if v.reason == selection.ReasonManagedByKubernetes || v.reason == selection.ReasonNotMounted {
		return
	}
	p.skipped = append(p.skipped, skippedVolume{podNamespace: pod.Namespace, podName: pod.Name, volume: v.volume, reason: v.reason})
}

func (p *podVolumes) create(ctx context.Context, v podVolume) error {
	pvb := newPodVolumeBackup(p.backup, v)
	running, err := p.agents.runOn(ctx, pvb.Spec.Node)
	if err != nil {
		return err
	}
	if !running {
		failVolume(pvb, p.now.Time, "no node agent on node "+pvb.Spec.Node)
	}
	if err := p.ensureRepository(ctx, v.pod.Namespace); err != nil {
		return err
	}
	err = p.lister.retry(ctx, func() error { return p.client.Create(ctx, pvb) })
	if client.IgnoreAlreadyExists(err) != nil {
		return err
	}
	p.created[pvb.Name] = newTakenVolume(pvb)
	return nil
}

// failVolume makes a pod volume backup one that has ended.
func failVolume(pvb *velerov1.PodVolumeBackup, now time.Time, message string) {
	pvb.Status.Phase = velerov1.PodVolumeBackupPhaseFailed
	pvb.Status.Message = message
	pvb.Status.CompletionTimestamp = &metav1.Time{Time: now}
}

// ensureRepository creates the repository of a namespace. Others make it ready.
func (p *podVolumes) ensureRepository(ctx context.Context, namespace string) error {
	if p.repositories[namespace] {
		return nil
	}
	repo := repositories.New(p.backup.Namespace, namespace, p.backup.Spec.StorageLocation)
	err := p.lister.retry(ctx, func() error { return p.client.Create(ctx, repo) })
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating backup repository %s: %w", repo.Name, err)
	}
	p.repositories[namespace] = true
	return nil
}

// Node agents are found by this label (velero-facts §11.9).
const (
	nodeAgentRoleLabel = "role"
	nodeAgentRole      = "node-agent"
)

// nodeAgents knows the nodes that an agent runs on. They are listed once, and
// once more for a node that is missing.
type nodeAgents struct {
	reader    client.Reader
	namespace string

	nodes map[string]bool // false: missing also when listed again
}

func (a *nodeAgents) runOn(ctx context.Context, node string) (bool, error) {
	running, known := a.nodes[node]
	if known {
		return running, nil
	}
	if err := a.list(ctx); err != nil {
		return false, err
	}
	if !a.nodes[node] {
		a.nodes[node] = false
	}
	return a.nodes[node], nil
}

func (a *nodeAgents) list(ctx context.Context) error {
	pods := &corev1.PodList{}
	err := a.reader.List(ctx, pods, client.InNamespace(a.namespace), client.MatchingLabels{nodeAgentRoleLabel: nodeAgentRole})
	if err != nil {
		return fmt.Errorf("listing node agents: %w", err)
	}
	if a.nodes == nil {
		a.nodes = map[string]bool{}
	}
	for _, pod := range pods.Items {
		if pod.Status.Phase == corev1.PodRunning {
			a.nodes[pod.Spec.NodeName] = true
		}
	}
	return nil
}
