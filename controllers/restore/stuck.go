package restore

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/injector"
)

// nodeAgentRole is the label of the pods of node agents; Velero's have it too
// (velero-facts §11.9).
var nodeAgentRole = client.MatchingLabels{"role": "node-agent"}

// looks remembers for a while what was seen of the pods of restores. With a
// thousand volumes there are thousands of events, and none of them is a reason to
// ask for a thousand pods again. A restart only looks once more.
type looks struct {
	mu   sync.Mutex // guards last
	last map[types.UID]look
}

type look struct {
	at      time.Time
	untaken map[string]untaken
}

// recent returns what was seen of a restore less than podLookInterval ago.
func (l *looks) recent(restore types.UID, now time.Time) (map[string]untaken, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()

	last, ok := l.last[restore]
	return last.untaken, ok && now.Sub(last.at) < podLookInterval
}

// remember keeps what was seen, and forgets what is old.
func (l *looks) remember(restore types.UID, seen look) {
	l.mu.Lock()
	defer l.mu.Unlock()

	if l.last == nil {
		l.last = map[types.UID]look{}
	}
	for uid, other := range l.last {
		if seen.at.Sub(other.at) >= podLookInterval {
			delete(l.last, uid)
		}
	}
	l.last[restore] = seen
}

// observeUntaken looks at the pods of volumes that no node agent has taken for a
// while.
func (r *Reconciler) observeUntaken(ctx context.Context, o observed) (map[string]untaken, error) {
	gone, err := r.observeVanished(ctx, o)
	if err != nil {
		return nil, err
	}
	waiting := keep(o.volumes, func(v velerov1.PodVolumeRestore) bool {
		return isUntaken(v) && o.now.Sub(v.CreationTimestamp.Time) >= podLookInterval
	})
	if len(waiting) == 0 {
		return gone, nil
	}
	if seen, ok := r.looks.recent(o.restore.UID, o.now); ok {
		return merged(seen, gone), nil
	}
	seen, err := r.explain(ctx, o.restore, waiting)
	if err != nil {
		return nil, err
	}
	r.looks.remember(o.restore.UID, look{at: o.now, untaken: seen})
	return merged(seen, gone), nil
}

// merged returns both; what is newer wins.
func merged(seen, newer map[string]untaken) map[string]untaken {
	if len(newer) == 0 {
		return seen
	}
	all := map[string]untaken{}
	maps.Copy(all, seen)
	maps.Copy(all, newer)
	return all
}

// vanishTime is how long the cache of pods with a gate may be behind.
const vanishTime = 2 * time.Second

// observeVanished looks at once at the pods of volumes that nobody has taken and
// that the cache does not have, or has as going: the restore may have to follow
// them. When there are many, the regular look finds them.
func (r *Reconciler) observeVanished(ctx context.Context, o observed) (map[string]untaken, error) {
	there := map[types.UID]bool{}
	for _, p := range o.pods {
		there[p.UID] = !p.Gone
	}
	vanished := keep(o.volumes, func(v velerov1.PodVolumeRestore) bool {
		return isUntaken(v) && !there[v.Spec.Pod.UID] && o.now.Sub(v.CreationTimestamp.Time) >= vanishTime
	})
	if !areItemsRestored(o.restore) || len(vanished) > maxSingleGets {
		return nil, nil
	}
	return r.explain(ctx, o.restore, vanished)
}

// explainUnrestored looks at the pods of volumes that were not restored and that
// nobody was moving.
func (r *Reconciler) explainUnrestored(ctx context.Context, o observed) (map[string]untaken, error) {
	return r.explain(ctx, o.restore, keep(o.volumes, func(v velerov1.PodVolumeRestore) bool {
		return v.Status.Phase != velerov1.PodVolumeRestorePhaseCompleted && v.Status.Phase != velerov1.PodVolumeRestorePhaseFailed && v.Status.Node == ""
	}))
}

// explain says what the pods of volumes wait for, by the names of the volumes.
func (r *Reconciler) explain(ctx context.Context, restore *velerov1.Restore, volumes []velerov1.PodVolumeRestore) (map[string]untaken, error) {
	if len(volumes) == 0 {
		return nil, nil
	}
	pods, err := r.podsOf(ctx, restore, volumes)
	if err != nil {
		return nil, err
	}
	agents, err := r.agentNodes(ctx)
	if err != nil {
		return nil, err
	}
	seen := map[string]untaken{}
	for _, v := range volumes {
		seen[v.Name] = explainUntaken(&v, pods[types.NamespacedName{Namespace: v.Spec.Pod.Namespace, Name: v.Spec.Pod.Name}], agents)
	}
	return seen, nil
}

// maxSingleGets is how many pods are asked for one by one. For more, listing all
// of the restore is less work.
const maxSingleGets = 20

func (r *Reconciler) podsOf(ctx context.Context, restore *velerov1.Restore, volumes []velerov1.PodVolumeRestore) (map[types.NamespacedName]*corev1.Pod, error) {
	pods := map[types.NamespacedName]*corev1.Pod{}
	for _, v := range volumes {
		pods[types.NamespacedName{Namespace: v.Spec.Pod.Namespace, Name: v.Spec.Pod.Name}] = nil
	}
	if len(pods) > maxSingleGets {
		return r.listPods(ctx, restore)
	}
	for key := range pods {
		pod := &corev1.Pod{}
		err := r.Reader.Get(ctx, key, pod)
		switch {
		case err == nil:
			pods[key] = pod
		case !apierrors.IsNotFound(err):
			return nil, fmt.Errorf("getting pod %s: %w", key, err)
		}
	}
	return pods, nil
}

// listPods returns the pods that the restore has made, and those of others that
// wait for it.
func (r *Reconciler) listPods(ctx context.Context, restore *velerov1.Restore) (map[types.NamespacedName]*corev1.Pod, error) {
	pods := map[types.NamespacedName]*corev1.Pod{}
	for _, labels := range []client.MatchingLabels{
		{velerov1.RestoreNameLabel: velerov1.ValidLabelValue(restore.Name)}, {velerov1.GatedByLabel: string(restore.UID)},
	} {
		if err := r.addPods(ctx, pods, labels); err != nil {
			return nil, err
		}
	}
	return pods, nil
}

func (r *Reconciler) addPods(ctx context.Context, pods map[types.NamespacedName]*corev1.Pod, labels client.MatchingLabels) error {
	page := ""
	for {
		list := &corev1.PodList{}
		if err := r.Reader.List(ctx, list, client.Limit(pageSize), client.Continue(page), labels); err != nil {
			return fmt.Errorf("listing restored pods: %w", err)
		}
		for n := range list.Items {
			pods[client.ObjectKeyFromObject(&list.Items[n])] = &list.Items[n]
		}
		if page = list.Continue; page == "" {
			return nil
		}
	}
}

// agentNodes returns the nodes on which a node agent runs.
func (r *Reconciler) agentNodes(ctx context.Context) (map[string]bool, error) {
	list := &corev1.PodList{}
	if err := r.Reader.List(ctx, list, client.InNamespace(r.Namespace), nodeAgentRole); err != nil {
		return nil, fmt.Errorf("listing pods of node agents: %w", err)
	}
	nodes := map[string]bool{}
	for _, pod := range list.Items {
		nodes[pod.Spec.NodeName] = nodes[pod.Spec.NodeName] || pod.Status.Phase == corev1.PodRunning
	}
	return nodes, nil
}

// explainUntaken says why no node agent has taken a volume. pod is the pod of
// that name in the cluster, or nil; agents are the nodes with a node agent.
func explainUntaken(v *velerov1.PodVolumeRestore, pod *corev1.Pod, agents map[string]bool) untaken {
	name := v.Spec.Pod.Namespace + "/" + v.Spec.Pod.Name
	if pod == nil || pod.UID != v.Spec.Pod.UID || pod.DeletionTimestamp != nil {
		return untaken{podGone: true}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return untaken{message: fmt.Sprintf("pod %s is not scheduled: %s", name, oneLine(c.Message))}
		}
	}
	if pod.Spec.NodeName == "" {
		return untaken{message: fmt.Sprintf("pod %s is not scheduled", name)}
	}
	if !agents[pod.Spec.NodeName] {
		return untaken{message: fmt.Sprintf("node-agent pod is not running in node %s, so nobody fills the volumes of pod %s; "+
			"see the pods with the label role=node-agent in namespace %s", pod.Spec.NodeName, name, v.Namespace)}
	}
	for _, c := range pod.Status.InitContainerStatuses {
		if c.Name == injector.GateName {
			return untaken{message: explainGate(name, pod.Spec.NodeName, c.State)}
		}
	}
	return untaken{message: fmt.Sprintf("pod %s is being prepared on node %s; see its events", name, pod.Spec.NodeName)}
}

func explainGate(pod, node string, state corev1.ContainerState) string {
	switch {
	case state.Running != nil:
		return fmt.Sprintf("no node agent has taken pod %s; check the node-agent pod of node %s", pod, node)
	case state.Waiting != nil && state.Waiting.Message != "":
		return fmt.Sprintf("%s of pod %s does not run: %s: %s", injector.GateName, pod, state.Waiting.Reason, oneLine(state.Waiting.Message))
	case state.Terminated != nil:
		return fmt.Sprintf("%s of pod %s has ended with exit code %d", injector.GateName, pod, state.Terminated.ExitCode)
	default:
		return fmt.Sprintf("%s of pod %s does not run yet on node %s; see the events of the pod", injector.GateName, pod, node)
	}
}
