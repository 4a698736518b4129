package sync

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// createVolumes makes the PodVolumeBackups of a Backup and then says, on the
// Backup, that it is complete. A Backup that lacks some is looked at again by each
// sync, so that what is wrong with it does not fall into oblivion. A restore is
// not in danger meanwhile: it reads the list in the bucket, too.
func (p *run) createVolumes(ctx context.Context, b *velerov1.Backup, volumes volumeList) error {
	to := target{namespace: p.Namespace, location: p.location.Name}
	complete := volumes.readable
	for i := range volumes.entries {
		stored := &volumes.entries[i]
		if stored.Name == "" {
			continue // Velero's entry for an object that it could not create (velero-facts §12, 23)
		}
		made, err := p.createVolume(ctx, b, localVolume(stored, b, to))
		if err != nil {
			return err
		}
		complete = complete && made
	}
	if !complete || b.Annotations[velerov1.SyncingAnnotation] == "" {
		return nil
	}
	before := b.DeepCopy()
	delete(b.Annotations, velerov1.SyncingAnnotation)
	if err := p.Client.Patch(ctx, b, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return inCluster("marking Backup "+b.Name+" as complete", err)
	}
	return nil
}

// createVolume reports whether the volume is in the cluster now.
func (p *run) createVolume(ctx context.Context, b *velerov1.Backup, v *velerov1.PodVolumeBackup) (bool, error) {
	if wrong := validateVolume(v); wrong != "" {
		p.complainOfFiles(b.Name, "an entry in the list of its volumes cannot be used: "+wrong)
		return false, nil
	}
	if isTooLarge(v) {
		p.complainOfFiles(b.Name, fmt.Sprintf("PodVolumeBackup %s has more than the %d bytes that a cluster can keep", v.Name, maxObjectBytes))
		return false, nil
	}
	err := p.Client.Create(ctx, v.DeepCopy())
	switch {
	case err == nil:
		return true, nil
	case apierrors.IsAlreadyExists(err):
		return p.adopt(ctx, b, v)
	case isRefusal(err):
		p.refused(b.Name, fmt.Sprintf("the API server refuses PodVolumeBackup %s: ", v.Name), err)
		return false, nil
	default:
		return false, inCluster("creating PodVolumeBackup "+v.Name, err)
	}
}

// adopt takes over a volume of an earlier Backup of the same name, which the
// garbage collector may be about to delete with it.
func (p *run) adopt(ctx context.Context, b *velerov1.Backup, v *velerov1.PodVolumeBackup) (bool, error) {
	existing := &velerov1.PodVolumeBackup{}
	err := p.Reader.Get(ctx, client.ObjectKeyFromObject(v), existing)
	switch {
	case apierrors.IsNotFound(err):
		return false, nil // it has just gone; the next sync makes it anew
	case err != nil:
		return false, inCluster("getting PodVolumeBackup "+v.Name, err)
	case metav1.IsControlledBy(existing, b):
		return true, nil
	case !isSameVolume(existing, v):
		p.complain(b.Name, fmt.Sprintf("the name of its PodVolumeBackup %s is taken by one of backup %q",
			v.Name, existing.Labels[velerov1.BackupNameLabel]))
		return false, nil
	case !existing.DeletionTimestamp.IsZero():
		return false, nil
	}
	before := existing.DeepCopy()
	existing.OwnerReferences = v.OwnerReferences
	existing.Labels[velerov1.BackupUIDLabel] = string(b.UID)
	err = p.Client.Patch(ctx, existing, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, inCluster("adopting PodVolumeBackup "+v.Name, err)
	}
	return true, nil
}
