package backup

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/itemlog"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/resourcepolicy"
)

// claimBound is the phase of a claim that has a volume (k8s.io/api/core/v1,
// ClaimBound).
const claimBound = "Bound"

// claim is what is kept of a PersistentVolumeClaim while items are collected: a
// few hundred bytes each. It is the part of a backup that memory grows with.
type claim struct {
	namespace string
	name      string
	uid       types.UID
	block     bool
	wish      string  // its podkeep.io/fs-backup annotation
	excluded  string  // why the claim is not in the backup, or ""
	volume    *volume // nil when it is not bound, or the volume could not be read

	// policyFacts are what volume policies look at; nil when there are none.
	policyFacts *resourcepolicy.Volume

	// taken says that a pod volume backup has the data.
	taken bool

	// skips say why pods that mount the claim did not give its data.
	skips []string
}

// volume is what is kept of a PersistentVolume.
type volume struct {
	name          string
	hostPath      bool
	reclaimPolicy string
	labels        map[string]string
	found         bool // it has been read
	archived      bool // it is in the backup
}

// claimKey names a claim.
type claimKey struct{ namespace, name string }

// claims finds claims by their name, and by the volume they are bound to.
type claims struct {
	byKey    map[claimKey]*claim
	byVolume map[string]*claim
	unused   string // why no pod says anything of a claim; "" is that none mounts it
}

func newClaims() *claims {
	return &claims{byKey: map[claimKey]*claim{}, byVolume: map[string]*claim{}}
}

func (c *claims) add(cl *claim) {
	c.byKey[claimKey{cl.namespace, cl.name}] = cl
	if cl.volume != nil {
		c.byVolume[cl.volume.name] = cl
	}
}

// find returns nil for a claim that has not been read.
func (c *claims) find(namespace, name string) *claim {
	return c.byKey[claimKey{namespace, name}]
}

// sorted returns all claims by namespace and name.
func (c *claims) sorted() []*claim {
	return slices.SortedFunc(maps.Values(c.byKey), func(a, b *claim) int {
		return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
	})
}

// newClaim reads the facts of a claim item.
func newClaim(u *unstructured.Unstructured, excluded string) *claim {
	mode, _, _ := unstructured.NestedString(u.Object, "spec", "volumeMode")
	c := &claim{namespace: u.GetNamespace(), name: u.GetName(), uid: u.GetUID(), block: mode == "Block", excluded: excluded}
	c.wish = u.GetAnnotations()[velerov1.ClaimFSBackupAnnotation]
	if name := boundVolume(u); name != "" {
		c.volume = &volume{name: name}
	}
	return c
}

// boundVolume returns the volume of a claim that is bound, or "".
func boundVolume(u *unstructured.Unstructured) string {
	phase, _, _ := unstructured.NestedString(u.Object, "status", "phase")
	name, _, _ := unstructured.NestedString(u.Object, "spec", "volumeName")
	if phase != claimBound {
		return ""
	}
	return name
}

// setFacts reads the facts of a volume item.
func (v *volume) setFacts(u *unstructured.Unstructured) {
	_, v.hostPath, _ = unstructured.NestedMap(u.Object, "spec", "hostPath")
	v.reclaimPolicy, _, _ = unstructured.NestedString(u.Object, "spec", "persistentVolumeReclaimPolicy")
	v.labels = u.GetLabels()
	v.found = true
}

// info is what the volume info of a backup says of the volume.
func (v *volume) info() *layout.PVInfo {
	return &layout.PVInfo{ReclaimPolicy: v.reclaimPolicy, Labels: v.labels}
}

// staleLabels are those that an earlier restore has left on a claim.
var staleLabels = []string{velerov1.BackupNameLabel, velerov1.RestoreNameLabel}

// cleanClaim removes from a bound claim what would make a restored one be filled
// or bound in another way (velero-facts §1.4). The selector stays where the
// storage class is the empty string, because then it chooses among volumes that
// people have made.
func cleanClaim(u *unstructured.Unstructured) {
	if boundVolume(u) == "" {
		return
	}
	unstructured.RemoveNestedField(u.Object, "spec", "dataSource")
	unstructured.RemoveNestedField(u.Object, "spec", "dataSourceRef")
	class, found, _ := unstructured.NestedString(u.Object, "spec", "storageClassName")
	if !found || class != "" {
		unstructured.RemoveNestedField(u.Object, "spec", "selector")
	}
	for _, key := range staleLabels {
		unstructured.RemoveNestedField(u.Object, "metadata", "labels", key)
	}
}

// Why claims of taken pods are not in the backup.
const claimsNotTaken = "persistent volume claims are not in the backup"

// collectClaims writes all claims. They come before the pods, so that each pod can
// be judged, and the data of its volumes move, as soon as it is read.
func (c *collector) collectClaims(ctx context.Context) error {
	if !c.takes(claimsResource) {
		return nil
	}
	return c.list(ctx, listing{res: claimsResource, visit: func(u *unstructured.Unstructured) error {
		_, err := c.addClaim(ctx, u)
		return err
	}})
}

// addClaim writes a claim and remembers its facts. A claim that is excluded is
// remembered too: pods may mount it.
func (c *collector) addClaim(ctx context.Context, u *unstructured.Unstructured) (*claim, error) {
	cl := newClaim(u, c.exclusion(u))
	cl.taken = c.volumes.resumed[claimKey{cl.namespace, cl.name}]
	if c.hasVolumePolicies() {
		facts := resourcepolicy.OfClaim(u)
		cl.policyFacts = &facts
	}
	c.claims.add(cl)
	if cl.excluded != "" {
		c.logExcluded(claimsResource, u, cl.excluded)
		return cl, nil
	}
	cleanClaim(u)
	return cl, c.write(ctx, claimsResource, u)
}

// collectVolumes writes the volumes that the claims are bound to, and all others
// when the backup takes them by themselves.
func (c *collector) collectVolumes(ctx context.Context) error {
	if c.takes(volumesResource) || len(c.claims.byVolume) > maxGets {
		if err := c.listVolumes(ctx); err != nil {
			return err
		}
	}
	for _, cl := range c.claims.sorted() {
		if err := c.getVolume(ctx, cl); err != nil {
			return err
		}
	}
	return nil
}

// listVolumes reads all volumes by one list.
func (c *collector) listVolumes(ctx context.Context) error {
	bound := func(u *unstructured.Unstructured) bool { return c.claims.byVolume[u.GetName()] != nil }
	return c.list(ctx, listing{res: volumesResource, also: bound, visit: func(u *unstructured.Unstructured) error {
		if cl := c.claims.byVolume[u.GetName()]; cl != nil {
			return c.addVolume(ctx, cl, u)
		}
		if !c.takes(volumesResource) {
			return nil // nobody in the backup needs it
		}
		return c.addItem(ctx, volumesResource, u)
	}})
}

// getVolume reads the volume of one claim, unless it is known.
func (c *collector) getVolume(ctx context.Context, cl *claim) error {
	if cl.volume == nil || cl.volume.found {
		return nil
	}
	u, err := c.lister.get(ctx, volumesResource, "", cl.volume.name)
	if err == nil {
		return c.addVolume(ctx, cl, u)
	}
	if ctx.Err() != nil {
		return err
	}
	entry := itemlog.Entry{
		Namespace: cl.namespace, Resource: claimsResource.Resource, Name: cl.name,
		Message: fmt.Sprintf("Reading volume %s of the claim failed", cl.volume.name), Err: err,
	}
	cl.volume = nil
	if apierrors.IsNotFound(err) {
		c.log.Warn(entry)
	} else {
		c.log.Error(entry)
	}
	return nil
}

// addVolume writes the volume of a claim that is in the backup. Its facts are
// needed also when it is left out.
func (c *collector) addVolume(ctx context.Context, cl *claim, u *unstructured.Unstructured) error {
	cl.volume.setFacts(u)
	if cl.policyFacts != nil {
		cl.policyFacts.SetPersistentVolume(u)
	}
	reason := cmp.Or(c.exclusion(u), cl.excluded)
	if verdict := c.filter.Related(volumesResource.forFilter()); reason == "" && !verdict.Included {
		reason = string(verdict.Reason)
	}
	if reason != "" {
		c.logExcluded(volumesResource, u, reason)
		return nil
	}
	cl.volume.archived = true
	return c.write(ctx, volumesResource, u)
}

// claimOf returns the claim of a pod's volume. One that has not been listed,
// because it was made later or its labels are not selected, is read now, and is in
// the backup with its pod. It is nil when there is no such claim.
func (c *collector) claimOf(ctx context.Context, namespace, name string) (*claim, error) {
	if cl := c.claims.find(namespace, name); cl != nil {
		return cl, nil
	}
	if !c.takes(claimsResource) {
		return &claim{namespace: namespace, name: name, excluded: claimsNotTaken}, nil
	}
	u, err := c.lister.get(ctx, claimsResource, namespace, name)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("getting claim %s/%s: %w", namespace, name, err)
	}
	cl, err := c.addClaim(ctx, u)
	if err != nil {
		return nil, err
	}
	return cl, c.getVolume(ctx, cl)
}
