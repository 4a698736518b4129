package backup

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/podkeep/podkeep/internal/itemlog"
	"github.com/podkeep/podkeep/internal/podfacts"
	"github.com/podkeep/podkeep/internal/selection"
	"github.com/podkeep/podkeep/internal/volumeidentity"
)

// Reasons of this package for volumes that are not taken, beside those of
// internal/selection.
const (
	reasonClaimTaken    selection.Reason = "ClaimAlreadyTaken"
	reasonClaimExcluded selection.Reason = "ClaimExcluded"
	reasonPodExcluded   selection.Reason = "PodExcluded"
)

// verdict is what happens to one volume of a pod.
type verdict struct {
	volume string
	take   bool
	reason selection.Reason

	// warn says that people expect the volume to be in the backup.
	warn bool
}

// podFacts is all judge may look at.
type podFacts struct {
	pod   *corev1.Pod
	input selection.Input

	// claims are the claims of the pod's volumes, by the volume's name. Volumes
	// without one, or whose claim does not exist, are missing.
	claims map[string]*claim
}

// judge says for each volume of a pod whether its data is moved now. What
// selection decides can become a no here: only what runs has data to read.
func judge(f podFacts, decisions []selection.Decision) []verdict {
	impossible := selection.Impossible(f.input, decisions)
	asked := selection.Asked(f.input)

	verdicts := make([]verdict, 0, len(decisions))
	for _, d := range decisions {
		v := verdict{volume: d.Volume, take: d.Included, reason: d.Reason}
		cl := f.claims[d.Volume]
		switch {
		case !d.Included:
			v.warn = slices.Contains(asked, d.Volume) && !isDeliberate(d.Reason) || slices.Contains(impossible, d)
		case !podfacts.IsRunning(f.pod):
			v = verdict{volume: d.Volume, reason: selection.ReasonPodNotRunning, warn: true}
		case cl != nil && cl.excluded != "":
			v = verdict{volume: d.Volume, reason: reasonClaimExcluded}
		case cl != nil && cl.taken:
			v = verdict{volume: d.Volume, reason: reasonClaimTaken}
		}
		verdicts = append(verdicts, v)
	}
	return verdicts
}

// isDeliberate says whether people have excluded the very volume.
func isDeliberate(r selection.Reason) bool {
	return r == selection.ReasonExcludedByPod || r == selection.ReasonExcludedByClaim
}

// collectPods writes all pods, and has the data of their volumes moved.
func (c *collector) collectPods(ctx context.Context) error {
	if !c.takes(podsResource) {
		c.claims.unused = reasonPodsExcluded
		return nil
	}
	err := c.list(ctx, listing{res: podsResource, visit: func(u *unstructured.Unstructured) error {
		reason := c.exclusion(u)
		if reason != "" {
			c.logExcluded(podsResource, u, reason)
		} else if err := c.write(ctx, podsResource, u); err != nil {
			return err
		}
		pod, err := podOf(u)
		switch {
		case err != nil:
			c.log.Error(podEntry(u, "Pod cannot be read; its volumes are not in the backup", err))
			return nil
		case reason != "" && reason != excludedDeleted:
			c.skipPod(pod)
			return nil
		default:
			return c.addPodVolumes(ctx, pod)
		}
	}})
	if err != nil {
		return err
	}
	return c.flushBlocks(ctx)
}

// skipPod notes, on the claims of a pod that is not in the backup, why it does not
// give their data.
func (c *collector) skipPod(pod *corev1.Pod) {
	for _, v := range pod.Spec.Volumes {
		name, _ := selection.ClaimName(pod, v)
		if cl := c.claims.find(pod.Namespace, name); cl != nil {
			cl.skips = append(cl.skips, fmt.Sprintf("%s (pod %s)", reasonPodExcluded, pod.Name))
		}
	}
}

// addPodVolumes judges the volumes of a pod, and has those moved that are taken.
// Errors of one volume are in the results; an error that is returned ends the
// collection.
func (c *collector) addPodVolumes(ctx context.Context, pod *corev1.Pod) error {
	for _, name := range selection.UnknownVolumes(pod) {
		c.log.Warn(podEntry(pod, fmt.Sprintf("Annotation names volume %s, which the pod does not have", name), nil))
	}
	facts, err := c.podFacts(ctx, pod)
	if err != nil {
		return err
	}
	for _, w := range selection.UnknownWishes(facts.input) {
		c.log.Warn(podEntry(pod, w.String(), nil))
	}
	resolved := selection.Resolve(facts.input)
	c.logDifferences(pod, resolved)
	cand := candidate{pod: pod, hooks: c.hooksOf(pod), claims: claimsOf(facts)}
	for _, v := range judge(facts, resolved.Decisions) {
		if v.take {
			cand.takes = append(cand.takes, taking{verdict: v, claim: facts.claims[v.volume]})
		} else {
			c.skip(pod, v, facts.claims[v.volume])
		}
	}
	return c.addCandidate(ctx, cand)
}

// logDifferences says what the stamp of a pod, which is not what holds, would have
// had the backup do.
func (c *collector) logDifferences(pod *corev1.Pod, r selection.Resolution) {
	for _, d := range r.Differences {
		c.log.Info("Selection differs from the stamp of the pod", "namespace", pod.Namespace, "pod", pod.Name, "volume", d.Volume,
			"stamped", d.Stamped.Verdict(), "now", d.Now.Verdict(), "why", d.Now.Reason.Rule().Means)
	}
}

func (c *collector) podFacts(ctx context.Context, pod *corev1.Pod) (podFacts, error) {
	f := podFacts{pod: pod, claims: map[string]*claim{}}
	byName := map[string]selection.ClaimFacts{}
	for _, v := range pod.Spec.Volumes {
		name, ok := selection.ClaimName(pod, v)
		if !ok {
			continue
		}
		cl, err := c.claimOf(ctx, pod.Namespace, name)
		if interruptionOf(ctx, err) != nil || ctx.Err() != nil {
			return f, err
		}
		if err != nil {
			c.log.Error(podEntry(pod, "Reading the claim of volume "+v.Name+" failed", err))
		}
		if cl == nil {
			continue
		}
		f.claims[v.Name] = cl
		byName[name] = claimFactsOf(cl)
	}
	f.input = selection.Input{
		Pod:             pod,
		Claims:          byName,
		BackupDefault:   c.backup.Spec.DefaultVolumesToFsBackup,
		NamespacePolicy: c.namespaces.policies[pod.Namespace],
		VolumePolicy:    c.volumePolicy(f.claims),
		ServerDefault:   c.options.DefaultVolumesToFSBackup,
	}
	return f, nil
}

func claimFactsOf(cl *claim) selection.ClaimFacts {
	return selection.ClaimFacts{Block: cl.block, HostPathPV: cl.volume != nil && cl.volume.hostPath, Wish: cl.wish}
}

// skip records why a volume is not taken.
func (c *collector) skip(pod *corev1.Pod, v verdict, cl *claim) {
	switch {
	case cl == nil:
		c.volumes.skip(pod, v)
	case v.reason != reasonClaimTaken:
		cl.skips = append(cl.skips, fmt.Sprintf("%s (pod %s)", v.reason, pod.Name))
	}
	if v.warn {
		c.log.Warn(podEntry(pod, fmt.Sprintf("Volume %s is not in the backup: %s", v.volume, v.reason), nil))
		return
	}
	c.log.Info("Skipping volume", "namespace", pod.Namespace, "pod", pod.Name, "volume", v.volume, "reason", v.reason)
}

// take creates the pod volume backup of a volume and returns its name; "" when it
// could not, which is in the results. A volume on a node without a node agent would
// wait for ever, so its backup is created as a failed one. record names the hooks
// that are run around it, or is "".
func (c *collector) take(ctx context.Context, pod *corev1.Pod, t taking, record string) (string, error) {
	volume := t.verdict.volume
	owner, err := c.owners.of(ctx, pod)
	if err == nil {
		err = c.volumes.create(ctx, podVolume{
			pod: pod, name: volume, claim: t.claim, identity: volumeidentity.Of(pod, volume, owner), hookRecord: record,
		})
	}
	switch {
	case ctx.Err() != nil:
		return "", err
	case err != nil:
		c.log.Error(podEntry(pod, fmt.Sprintf("Creating the pod volume backup of volume %s failed", volume), err))
		return "", nil
	}
	if t.claim != nil {
		t.claim.taken = true
	}
	c.log.Info("Backing up volume", "namespace", pod.Namespace, "pod", pod.Name, "volume", volume, "reason", t.verdict.reason, "node", pod.Spec.NodeName)
	return podVolumeBackupName(c.backup, pod.UID, volume), nil
}

func podEntry(pod metav1.Object, message string, err error) itemlog.Entry {
	return itemlog.Entry{Namespace: pod.GetNamespace(), Resource: podsResource.Resource, Name: pod.GetName(), Message: message, Err: err}
}
